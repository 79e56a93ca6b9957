package cache

import "bytes"

// Mutated returns the keys of objects that are no longer what was stored: some
// reader has changed a shared object in place. Values that another version
// wrote, and that decoding completed with defaults, may be named too. It
// encodes everything, and is meant for the end of tests.
func (h *Hub) Mutated() []string {
	var keys []string
	for _, c := range *h.byRoot.Load() {
		if !c.isLive.Load() {
			continue
		}
		s, _ := c.present()
		s.keys.Ascend(func(e *Entry) bool {
			if e.Object == nil {
				return true
			}
			b, err := h.codec.Encode(c.Definition, e.Object)
			if err != nil || !bytes.Equal(b, e.stored) || e.Object.GetResourceVersion() != formatRevision(e.Revision) {
				keys = append(keys, e.Key)
			}
			return true
		})
	}
	return keys
}
