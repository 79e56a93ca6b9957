package interchange

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"proa/test/parts"
)

// TestTwins sends the same objects, made at random by upstream's own schemas and
// mostly wrong in a point or two, to upstream's API server and to Proa's, and
// compares verdicts, messages and what defaults were filled in. Nothing is
// stored: every request is a dry run. PROA_RUNS says how many requests there are
// (2,000), PROA_SEED which, PROA_KINDS is a regular expression of resources.
func TestTwins(t *testing.T) {
	if os.Getenv(upstreamEnv) == "" {
		t.Skip("there is no upstream to compare with: use \"make compare\"")
	}
	seed, runs, only := setting(t, "PROA_SEED", rand.Uint64N(1<<32)), setting(t, "PROA_RUNS", 2000), regexp.MustCompile(os.Getenv("PROA_KINDS"))
	t.Logf("PROA_SEED=%d PROA_RUNS=%d", seed, runs)
	theirs := newTwin(t, parts.Upstream, 0)
	ours := newTwin(t, parts.Proa, 1000)
	kinds := theirs.kinds(only)
	theirs.learn(kinds)
	ours.learn(kinds)
	theirs.calm()
	ours.calm()

	var mu sync.Mutex
	found := map[string][]string{}
	var wait sync.WaitGroup
	const workers = 4
	for w := range uint64(workers) {
		wait.Go(func() {
			for i := w; i < runs; i += workers {
				random := rand.New(rand.NewPCG(seed, i))
				k := kinds[random.IntN(len(kinds))]
				state := random.Uint64()
				c := k.next(rand.New(rand.NewPCG(seed, state)), theirs.seeds[k.path])
				a := theirs.ask(c)
				c = k.next(rand.New(rand.NewPCG(seed, state)), ours.seeds[k.path])
				b := ours.ask(c)
				excused := forgive(k.path, &a)
				if forgive(k.path, &b) || excused || a.code == b.code && cmp.Equal(a.body, b.body) {
					continue
				}
				class := classOf(a, b)
				if isKnown(k.path, class) {
					continue
				}
				class = k.path + " " + c.verb + ": " + class
				mu.Lock()
				found[class] = append(found[class], fmt.Sprintf("run %d, changed at %s:\n%s\n%s %d → %d\n%s", i,
					strings.Join(c.where, ", "), c.body, c.url, a.code, b.code, difference(a, b)))
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	for _, class := range sorted(found) {
		t.Errorf("%d × %s\n%s", len(found[class]), class, strings.Join(found[class][:min(len(found[class]), examples)], "\n"))
	}
}

// examples bounds how many of a class of differences are told.
const examples = 3

func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// twin is one of the two API servers.
type twin struct {
	t      *testing.T
	config *rest.Config
	client *http.Client
	schema discovery.DiscoveryInterface
	seeds  map[string]map[string]any // objects as they were created, by path of their collection
}

func newTwin(t *testing.T, m parts.Maker, shift int) *twin {
	t.Helper()
	c := newClusterAt(t, parts.Makers{parts.APIServer: m}, shift)
	c.startAPI()
	c.writeObjects()
	config, err := clientcmd.BuildConfigFromFlags("", c.Admin())
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return &twin{t, config, client, c.client.Discovery(), map[string]map[string]any{}}
}

// learn reads the objects that requests are made from.
func (w *twin) learn(kinds []*kind) {
	w.t.Helper()
	for _, k := range kinds {
		r := w.do(http.MethodGet, k.path+"/"+k.there, nil)
		seed, ok := r.body.(map[string]any)
		if r.code != http.StatusOK || !ok {
			w.t.Fatalf("%s: %d %v", k.path, r.code, r.body)
		}
		if meta, ok := seed["metadata"].(map[string]any); ok {
			for _, name := range []string{"managedFields", "generation", "uid", "creationTimestamp"} {
				delete(meta, name)
			}
		}
		w.seeds[k.path] = seed
	}
}

// calm removes the webhooks, whose servers do not exist: they would be asked.
// It also removes the class that Proa would fill in.
func (w *twin) calm() {
	w.t.Helper()
	// What Proa brings along for Ingress is its own; upstream has none to remove.
	w.do(http.MethodDelete, "/apis/networking.k8s.io/v1/ingressclasses/proa", nil)
	for _, hooks := range []string{"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} {
		if r := w.do(http.MethodDelete, "/apis/admissionregistration.k8s.io/v1/"+hooks+"/"+objectName, nil); r.code != http.StatusOK {
			w.t.Fatalf("%s: %d %v", hooks, r.code, r.body)
		}
	}
}

// kind is a resource in a version.
type kind struct {
	path   string // of its collection
	schema *spec.Schema
	verbs  []string
	gen    *generator
	naming
}

// naming is what the object that there is is called, what one that is created is,
// and what else is new about that one.
type naming struct {
	there, fresh string
	spec         map[string]any
}

// namings are those of kinds whose objects cannot have any name.
var namings = map[string]naming{
	"customresourcedefinitions": {"boats.example.com", "barges.example.com", map[string]any{
		"names": map[string]any{"plural": "barges", "singular": "barge", "kind": "Barge", "listKind": "BargeList"},
	}},
	"apiservices": {"v1.elsewhere.example.com", "v2.elsewhere.example.com", map[string]any{"version": "v2"}},
	"ipaddresses": {"10.43.0.9", "10.43.0.10", nil},
}

// kinds are all that upstream serves, can create, and has an object of.
func (w *twin) kinds(only *regexp.Regexp) []*kind {
	w.t.Helper()
	_, lists, err := w.schema.ServerGroupsAndResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		w.t.Fatal(err)
	}
	documents, err := w.schema.OpenAPIV3().Paths()
	if err != nil {
		w.t.Fatal(err)
	}
	var kinds []*kind
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			w.t.Fatal(err)
		}
		root := "apis/" + l.GroupVersion
		if gv.Group == "" {
			root = "api/" + gv.Version
		}
		document := documents[root]
		if document == nil {
			continue
		}
		raw, err := document.Schema("application/json")
		if err != nil {
			w.t.Fatal(err)
		}
		g, err := newGenerator(raw, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range l.APIResources {
			if strings.Contains(r.Name, "/") || !slices.Contains(r.Verbs, "create") || !slices.Contains(r.Verbs, "update") || !only.MatchString(r.Name) {
				continue
			}
			k := &kind{"/" + root + "/" + r.Name, g.kind(gv.Group, gv.Version, r.Kind), []string{"create", "update"}, g, naming{objectName, "b", nil}}
			if n, ok := namings[r.Name]; ok {
				k.naming = n
			}
			if r.Namespaced {
				k.path = "/" + root + "/namespaces/default/" + r.Name
			}
			if slices.ContainsFunc(l.APIResources, func(s metav1.APIResource) bool { return s.Name == r.Name+"/status" }) {
				k.verbs = append(k.verbs, "status")
			}
			if got := w.do(http.MethodGet, k.path+"/"+k.there, nil); got.code != http.StatusOK || k.schema == nil {
				w.t.Logf("%s is left out: there is no object of it, or no schema", k.path)
				continue
			}
			kinds = append(kinds, k)
		}
	}
	if len(kinds) == 0 {
		w.t.Fatal("there is no kind to compare")
	}
	return kinds
}

// request is what both are asked.
type request struct {
	verb, method, url string
	body              []byte
	where             []string
}

// next makes a request at random, from the object as a server has it. The same
// random numbers make the same changes.
func (k *kind) next(random *rand.Rand, seed map[string]any) request {
	g := &generator{k.gen.schemas, random}
	obj, _ := clone(seed).(map[string]any)
	meta, _ := obj["metadata"].(map[string]any)
	c := request{verb: pick(g, k.verbs), method: http.MethodPut, url: k.path + "/" + k.there}
	switch c.verb {
	case "create":
		c.method, c.url = http.MethodPost, k.path
		meta["name"] = k.fresh
		delete(meta, "resourceVersion")
		// What an address was given to is the other's already.
		if spec, ok := obj["spec"].(map[string]any); ok {
			delete(spec, "clusterIP")
			delete(spec, "clusterIPs")
			if more, ok := clone(k.spec).(map[string]any); ok {
				maps.Copy(spec, more)
			}
		}
	case "status":
		c.url += "/status"
	}
	// Some kinds are never written without, most are by some clients.
	if random.IntN(4) == 0 {
		delete(meta, "resourceVersion")
	}
	c.where = g.mutate(k.schema, obj)
	c.url += "?dryRun=All"
	body, err := json.Marshal(obj)
	if err != nil {
		panic(err)
	}
	c.body = body
	return c
}

// reply is an answer without what differs by chance.
type reply struct {
	code int
	body any
}

func (w *twin) ask(c request) reply { return w.do(c.method, c.url, c.body) }

func (w *twin) do(method, url string, body []byte) reply {
	r, err := http.NewRequestWithContext(context.Background(), method, w.config.Host+url, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "twin")
	res, err := w.client.Do(r)
	if err != nil {
		return reply{body: err.Error()}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return reply{body: err.Error()}
	}
	if method != http.MethodGet {
		b = byChance.ReplaceAll(b, []byte("${1}${2}${3}${4}${5}${6}0"))
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return reply{res.StatusCode, string(b)}
	}
	if m, ok := v.(map[string]any); ok && res.StatusCode < 300 && method != http.MethodGet {
		settle(m)
		forgetEmpty(m)
	} else if ok {
		comparable(m)
	}
	return reply{res.StatusCode, v}
}

// byChance is what servers make up: UIDs, names of volumes, addresses and ports of
// services, the present time.
var byChance = regexp.MustCompile(`()[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}` +
	`|(X509SHA256=)[0-9a-f]{64}|(kube-api-access-)[a-z0-9]{5}|(10\.)(?:44|96)\.[0-9]+\.[0-9]+|("nodePort":)3[0-9]{4}|()` + time.Now().UTC().Format("2006-01-02") + `T[0-9:.]+Z`)

// settle removes from an object what every server sets by itself.
func settle(obj map[string]any) {
	meta, ok := obj["metadata"].(map[string]any)
	if !ok {
		return
	}
	for _, name := range []string{"uid", "resourceVersion", "creationTimestamp"} {
		delete(meta, name)
	}
	fields, _ := meta["managedFields"].([]any)
	for _, f := range fields {
		if entry, ok := f.(map[string]any); ok {
			delete(entry, "time")
		}
	}
}

// forgetEmpty takes empty lists for none: those that are always written come back
// as null from upstream's dry run, since they went through its storage.
func forgetEmpty(v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			if list, ok := child.([]any); child == nil || ok && len(list) == 0 {
				delete(v, k)
			}
			forgetEmpty(child)
		}
	case []any:
		for _, child := range v {
			forgetEmpty(child)
		}
	}
}

// comparable makes what is in an error comparable: causes in an order (both range
// over maps), each once (upstream checks the metadata of what changes twice), and in
// lower case, since upstream prints its own types where values are structures, and
// there it is only told that they differ. The message is made of the causes.
func comparable(status map[string]any) {
	details, _ := status["details"].(map[string]any)
	list, _ := details["causes"].([]any)
	if len(list) == 0 {
		return
	}
	told := map[string]any{}
	for _, c := range list {
		m, _ := c.(map[string]any)
		text, _, _ := strings.Cut(strings.ToLower(fmt.Sprint(m["message"])), "\n")
		m["message"] = structures.ReplaceAllString(text, "$1 value: {}")
		told[fmt.Sprint(m["field"], m["reason"], m["message"])] = c
	}
	list = list[:0]
	for _, key := range sorted(told) {
		list = append(list, told[key])
	}
	details["causes"] = list
	delete(status, "message")
}

var structures = regexp.MustCompile(`(invalid|duplicate) value: [{\[].*[}\]]`)

// difference is what to read of two answers that differ: "-" is upstream's.
func difference(theirs, ours reply) string {
	if theirs.code < 300 && ours.code < 300 {
		return cmp.Diff(theirs.body, ours.body)
	}
	var out strings.Builder
	a, b := causeTexts(theirs), causeTexts(ours)
	for _, text := range a {
		if !slices.Contains(b, text) {
			out.WriteString("\t- " + text + "\n")
		}
	}
	for _, text := range b {
		if !slices.Contains(a, text) {
			out.WriteString("\t+ " + text + "\n")
		}
	}
	if out.Len() == 0 {
		return cmp.Diff(theirs.body, ours.body)
	}
	return out.String()
}

// causeTexts are the causes of an error, or what it says if it has none.
func causeTexts(r reply) []string {
	if r.code < 300 {
		return nil
	}
	status, _ := r.body.(map[string]any)
	details, _ := status["details"].(map[string]any)
	list, _ := details["causes"].([]any)
	var out []string
	for _, c := range list {
		m, _ := c.(map[string]any)
		out = append(out, fmt.Sprint(m["field"], ": ", m["message"], " (", m["reason"], ")"))
	}
	if len(out) == 0 {
		out = append(out, fmt.Sprint(status["reason"], ": ", status["message"]))
	}
	return out
}

// classOf says in a few words how two answers differ, so that equal differences
// are told once.
func classOf(theirs, ours reply) string {
	if theirs.code != ours.code {
		return fmt.Sprintf("%d → %d %s", theirs.code, ours.code, numbers.ReplaceAllString(firstCause(theirs)+" → "+firstCause(ours), "[]"))
	}
	if theirs.code >= 300 {
		a, b := causes(theirs), causes(ours)
		for i := range max(len(a), len(b)) {
			switch {
			case i >= len(a):
				return "more: " + numbers.ReplaceAllString(b[i], "[]")
			case i >= len(b):
				return "less: " + numbers.ReplaceAllString(a[i], "[]")
			case a[i] != b[i]:
				return numbers.ReplaceAllString(a[i]+" → "+b[i], "[]")
			}
		}
		return "message"
	}
	return "content at " + firstDifference("", theirs.body, ours.body)
}

var numbers = regexp.MustCompile(`\[[^]]*\]`)

func firstCause(r reply) string {
	if c := causes(r); len(c) > 0 {
		return c[0]
	}
	return ""
}

// causes are the fields of an error, each with what is wrong.
func causes(r reply) []string {
	status, ok := r.body.(map[string]any)
	if !ok {
		return nil
	}
	details, _ := status["details"].(map[string]any)
	list, _ := details["causes"].([]any)
	var out []string
	for _, c := range list {
		m, _ := c.(map[string]any)
		out = append(out, fmt.Sprint(m["field"], " ", m["reason"]))
	}
	if len(out) == 0 && r.code >= 300 {
		out = append(out, fmt.Sprint(status["reason"]))
	}
	return out
}

// firstDifference is the path of a difference.
func firstDifference(path string, a, b any) string {
	am, ok1 := a.(map[string]any)
	bm, ok2 := b.(map[string]any)
	if ok1 && ok2 {
		for _, k := range append(sorted(am), sorted(bm)...) {
			if !cmp.Equal(am[k], bm[k]) {
				return firstDifference(path+"."+k, am[k], bm[k])
			}
		}
	}
	al, ok1 := a.([]any)
	bl, ok2 := b.([]any)
	if ok1 && ok2 && len(al) == len(bl) {
		for i := range al {
			if !cmp.Equal(al[i], bl[i]) {
				return firstDifference(path+"[]", al[i], bl[i])
			}
		}
	}
	return path
}
