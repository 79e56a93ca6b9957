package lint

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"testing"
)

// maxLines is where a file asks to be split.
const maxLines = 800

// longFiles may be longer than maxLines, each for the reason given.
var longFiles = map[string]string{}

// source is one Go file, parsed as far as its imports.
type source struct {
	path, dir string // relative to the module
	test      bool
	lines     int
	syntax    *ast.File
}

var parsed = sync.OnceValues(func() (out []source, err error) {
	tree := os.DirFS("..")
	err = fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p == "." {
				return nil
			}
			if n := d.Name(); n == "testdata" || n == "vendor" || strings.HasPrefix(n, ".") || strings.HasPrefix(n, "_") {
				return fs.SkipDir
			}
			// A module of its own follows rules of its own.
			if _, err := fs.Stat(tree, path.Join(p, "go.mod")); err == nil {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		data, err := fs.ReadFile(tree, p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, data, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		out = append(out, source{path: p, dir: path.Dir(p), test: strings.HasSuffix(p, "_test.go"), lines: bytes.Count(data, []byte("\n")), syntax: f})
		return nil
	})
	return out, err
})

// sources are all Go files of the module.
func sources(t *testing.T) []source {
	t.Helper()
	out, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatal("no Go files found above lint/")
	}
	return out
}

func TestPackageComments(t *testing.T) {
	t.Parallel()
	said, product := map[string]bool{}, map[string]bool{}
	for _, f := range sources(t) {
		if !f.test {
			product[f.dir] = true
		}
		// A package of tests alone may say what it is for in one of them.
		if f.syntax.Doc != nil && strings.TrimSpace(f.syntax.Doc.Text()) != "" && (!f.test || !product[f.dir]) {
			said[f.dir] = true
		}
	}
	for _, f := range sources(t) {
		if !said[f.dir] {
			t.Errorf("%s: the package has no comment that says what it is for; give it a doc.go", f.dir)
			said[f.dir] = true
		}
	}
}

func TestFileLength(t *testing.T) {
	t.Parallel()
	long := map[string]bool{}
	for _, f := range sources(t) {
		if f.lines <= maxLines {
			continue
		}
		long[f.path] = true
		if longFiles[f.path] == "" {
			t.Errorf("%s has %d lines: split it, or name it in longFiles with the reason", f.path, f.lines)
		}
	}
	for p := range longFiles {
		if !long[p] {
			t.Errorf("%s is no longer long: take it out of longFiles", p)
		}
	}
}
