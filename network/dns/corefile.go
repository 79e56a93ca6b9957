package dns

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// The format of a Corefile is read here, and not by the parser of CoreDNS: that one
// puts the files and the environment of its process into what it reads, which here
// are those of the node, and not of a container that holds nothing else.

const (
	// maxTokens bounds a Corefile, and all that its imports add to it, and maxImports
	// how many there are.
	maxTokens, maxImports = 20_000, 100
	// customDir is where the ConfigMap coredns-custom is looked for by custom, in
	// the container of CoreDNS.
	customDir = "/etc/coredns/custom/"
)

// directive is a line of a Corefile, with the block that it opens.
type directive struct {
	at    place
	words []string
	body  []directive
}

func (d *directive) errorf(format string, args ...any) error {
	return d.at.errorf("%s: %s", d.words[0], fmt.Sprintf(format, args...))
}

// place is where something stands: in the Corefile, or in a file that it imports.
type place struct {
	file string
	line int
}

func (p place) errorf(format string, args ...any) error {
	where := fmt.Sprintf("line %d", p.line)
	if p.file != "" {
		where = p.file + ", " + where
	}
	return fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...))
}

// token is a word. Words in quotes are never braces.
type token struct {
	text   string
	at     place
	first  bool // on its line
	quoted bool
}

func (t token) is(brace string) bool { return t.text == brace && !t.quoted }

// files are texts by name: the data of a ConfigMap.
type files map[string]string

// parseCorefile returns the server blocks: directives whose words are addresses.
func parseCorefile(text string, custom files) ([]directive, error) {
	tokens, err := lex("", text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, custom: custom, snippets: map[string][]token{}}
	var blocks []directive
	for {
		b, ok, err := p.server()
		if err != nil {
			return nil, err
		}
		if !ok {
			return blocks, nil
		}
		blocks = append(blocks, b)
	}
}

func lex(file, text string) ([]token, error) {
	var out []token
	at := place{file, 1}
	first := true
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '\n':
			at.line++
			first = true
			i++
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case c == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		default:
			t := token{at: at, first: first, quoted: c == '"'}
			first = false
			if t.quoted {
				end, ok := unquote(text, i+1, &t)
				if !ok {
					return nil, at.errorf("a quote is not closed")
				}
				at.line += strings.Count(text[i:end], "\n")
				i = end
			} else {
				start := i
				for i < len(text) && !strings.ContainsRune(" \t\r\n", rune(text[i])) {
					i++
				}
				t.text = text[start:i]
			}
			if out = append(out, t); len(out) > maxTokens {
				return nil, at.errorf("there are more than %d words", maxTokens)
			}
		}
	}
	return out, nil
}

// unquote reads up to the quote that closes, and returns what comes after it.
func unquote(text string, from int, t *token) (int, bool) {
	var b strings.Builder
	for i := from; i < len(text); i++ {
		switch {
		case text[i] == '"':
			t.text = b.String()
			return i + 1, true
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '"':
			i++
		}
		b.WriteByte(text[i])
	}
	return 0, false
}

// parser goes through tokens, in which imports are replaced as they come.
type parser struct {
	tokens   []token
	custom   files
	snippets map[string][]token
	// used are the tokens that imports have added, imports how many there were.
	used, imports int
}

// server reads a server block, after all snippets and imports before it.
func (p *parser) server() (directive, bool, error) {
	for len(p.tokens) > 0 {
		first := p.tokens[0]
		switch {
		case first.text == "import" && !first.quoted:
			if err := p.include(); err != nil {
				return directive{}, false, err
			}
		case strings.HasPrefix(first.text, "(") && strings.HasSuffix(first.text, ")") && !first.quoted:
			if err := p.snippet(); err != nil {
				return directive{}, false, err
			}
		default:
			d, err := p.addresses()
			return d, err == nil, err
		}
	}
	return directive{}, false, nil
}

// addresses reads the keys of a server block, which may be on several lines, and
// its body.
func (p *parser) addresses() (directive, error) {
	d := directive{at: p.tokens[0].at}
	for len(p.tokens) > 0 && !p.tokens[0].is("{") {
		for word := range strings.SplitSeq(p.tokens[0].text, ",") {
			if word != "" {
				d.words = append(d.words, word)
			}
		}
		p.tokens = p.tokens[1:]
	}
	if len(p.tokens) == 0 || len(d.words) == 0 {
		return d, d.at.errorf("a server block is its addresses, and then { and directives and }")
	}
	p.tokens = p.tokens[1:]
	var err error
	d.body, err = p.body(d.at)
	return d, err
}

// body reads directives up to the brace that closes them.
func (p *parser) body(opened place) ([]directive, error) {
	var out []directive
	for len(p.tokens) > 0 {
		switch first := p.tokens[0]; {
		case first.is("}"):
			p.tokens = p.tokens[1:]
			return out, nil
		case first.is("{"):
			return nil, first.at.errorf("a brace opens nothing")
		case first.is("import"):
			if err := p.include(); err != nil {
				return nil, err
			}
		default:
			d, err := p.directive()
			if err != nil {
				return nil, err
			}
			out = append(out, d)
		}
	}
	return nil, opened.errorf("a brace is not closed")
}

func (p *parser) directive() (directive, error) {
	d := directive{at: p.tokens[0].at}
	for i := 0; len(p.tokens) > 0 && (i == 0 || !p.tokens[0].first) && !p.tokens[0].is("}"); i++ {
		t := p.tokens[0]
		p.tokens = p.tokens[1:]
		if t.is("{") {
			var err error
			d.body, err = p.body(d.at)
			return d, err
		}
		d.words = append(d.words, t.text)
	}
	return d, nil
}

// snippet keeps the tokens between the braces after a name in parentheses.
func (p *parser) snippet() error {
	name, at := strings.Trim(p.tokens[0].text, "()"), p.tokens[0].at
	p.tokens = p.tokens[1:]
	if len(p.tokens) == 0 || !p.tokens[0].is("{") {
		return at.errorf("a snippet is its name in parentheses, and then { and directives and }")
	}
	depth := 0
	for i, t := range p.tokens {
		switch {
		case t.is("{"):
			depth++
		case t.is("}"):
			depth--
		}
		if depth == 0 {
			p.snippets[name] = p.tokens[1:i]
			p.tokens = p.tokens[i+1:]
			return nil
		}
	}
	return at.errorf("a brace is not closed")
}

// include replaces an import by what it names: a snippet, or keys of the ConfigMap
// coredns-custom. A pattern may match none.
func (p *parser) include() error {
	at := p.tokens[0].at
	if len(p.tokens) < 2 || p.tokens[1].first {
		return at.errorf("import: what?")
	}
	name := p.tokens[1].text
	p.tokens = p.tokens[2:]
	found, ok := p.snippets[name]
	if !ok {
		var err error
		if found, err = p.customTokens(name); err != nil {
			return at.errorf("import %s: %v", name, err)
		}
	}
	// What imports itself comes to this end.
	p.imports++
	if p.used += len(found); p.used > maxTokens || p.imports > maxImports {
		return at.errorf("import: there is too much of it")
	}
	p.tokens = append(slices.Clone(found), p.tokens...)
	return nil
}

func (p *parser) customTokens(name string) ([]token, error) {
	pattern, ok := strings.CutPrefix(name, customDir)
	if !ok {
		if pattern, ok = strings.CutPrefix(name, "custom/"); !ok {
			return nil, fmt.Errorf("there is no such snippet, and of files only those of the ConfigMap coredns-custom can be imported, as %s*", customDir)
		}
	}
	var keys []string
	for key := range p.custom {
		match, err := path.Match(pattern, key)
		if err != nil {
			return nil, fmt.Errorf("the pattern is wrong: %w", err)
		}
		if match {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var out []token
	for _, key := range keys {
		tokens, err := lex(key, p.custom[key])
		if err != nil {
			return nil, err
		}
		out = append(out, tokens...)
	}
	return out, nil
}
