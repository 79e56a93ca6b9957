package apiserver

// stackOfWrite is about how many bytes of stack a write takes, from decoding
// to the store.
const stackOfWrite = 20 << 10

// growStack makes the goroutine's stack large enough for a write at once. A
// request begins on a new goroutine with a few kilobytes of it, which would be
// outgrown several times, deep in the call chain: each time what is there is
// copied and every frame walked, in sum a tenth of the CPU time of a create.
// Here there is next to nothing to copy yet.
//
//go:noinline
func growStack() byte {
	var room [stackOfWrite]byte
	return touch(&room)
}

//go:noinline
func touch(room *[stackOfWrite]byte) byte { return room[len(room)/2] }
