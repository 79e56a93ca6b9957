package garbage

// LastLook is the longest that the collector goes without a look at what the
// server serves.
const LastLook = lastLook
