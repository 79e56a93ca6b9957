package embedded

import "testing"

func TestPick(t *testing.T) {
	t.Parallel()
	shim := func(name, program string, pods int) *podShim {
		return &podShim{name: name, program: program, pods: pods}
	}
	for _, tt := range []struct {
		name string
		all  []*podShim
		want string
	}{
		{"none", nil, ""},
		{"the fullest with room", []*podShim{shim("a", "new", 0), shim("b", "new", 3), shim("c", "new", 4)}, "b"},
		{"all full", []*podShim{shim("a", "new", 4)}, ""},
		{"an old program gets none", []*podShim{shim("a", "old", 1)}, ""},
		{"nor when it is the fullest", []*podShim{shim("a", "old", 3), shim("b", "new", 0)}, "b"},
	} {
		got := ""
		if s := pick(tt.all, "new", 4); s != nil {
			got = s.name
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
