package codec_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"proa/cache/codec"
	"proa/resource"
	"proa/resource/builtin"
	"proa/resource/resourcetest"
)

// TestShareReadsAsStored: what is kept of a write is what the next start will
// read, for random objects of every kind, empty lists and maps among them.
func TestShareReadsAsStored(t *testing.T) {
	t.Parallel()
	fill := resourcetest.NewFiller(1)
	for _, def := range builtin.Table().View().Definitions {
		if def.Virtual {
			continue
		}
		for range 20 {
			checkKept(t, def, fill.Object(def))
		}
	}
}

// checkKept compares what Share keeps of an object with what is read back.
func checkKept(t *testing.T, def *resource.Definition, obj resource.Object) {
	t.Helper()
	def.Default(obj)
	obj.SetResourceVersion("")
	obj.SetSelfLink("")
	shared := codec.Storage{}.Share(def, obj, nil)
	stored, err := codec.Storage{}.Encode(def, obj)
	if err != nil {
		t.Fatalf("%s: %v", def.GroupResource(), err)
	}
	read, err := codec.Storage{}.Decode(def, stored)
	if err != nil {
		t.Fatalf("%s: %v", def.GroupResource(), err)
	}
	if got, want := text(t, shared), text(t, read); got != want {
		t.Errorf("%s is kept otherwise than it is stored (-stored +kept):\n%s", def.GroupResource(), cmp.Diff(want, got))
	}
}

func text(t *testing.T, obj resource.Object) string {
	t.Helper()
	b, err := json.MarshalIndent(obj, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestShareWritesNothing: an update's object has lists and maps of the one that
// it replaces, which readers hold.
func TestShareWritesNothing(t *testing.T) {
	t.Parallel()
	table := builtin.Table().View()
	fill := resourcetest.NewFiller(2)
	for _, def := range table.Definitions {
		if def.Virtual {
			continue
		}
		for range 20 {
			obj := fill.Object(def) // without defaults, so that giving them shows
			before := obj.DeepCopyObject()
			codec.Storage{}.Share(def, obj, nil)
			if !reflect.DeepEqual(before, obj) {
				t.Fatalf("%s: Share has changed what it was given (-before +after):\n%s", def.GroupResource(), cmp.Diff(before, obj))
			}
		}
	}
}
