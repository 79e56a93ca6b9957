package discovery

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"proa/apiserver/aggregator"
	"proa/resource"
	"proa/resource/apiregistration"
)

// place is where a version stands among others: how its group is preferred, and
// how it is within the group, where somebody has said.
type place struct{ group, version int32 }

// build makes all documents of a state of the table, and of what other servers
// serve.
func build(v *resource.View, remotes *aggregator.Remotes) *documents {
	d := &documents{byGroup: map[string]*metav1.APIGroup{}, byVersion: map[schema.GroupVersion]*metav1.APIResourceList{}}
	aggregated := map[schema.GroupVersion][]apidiscoveryv2.APIResourceDiscovery{}
	var groups []string
	versions := map[string][]string{}
	places, stale := map[schema.GroupVersion]place{}, map[schema.GroupVersion]bool{}
	add := func(gv schema.GroupVersion, group, version int32) {
		if versions[gv.Group] == nil {
			groups = append(groups, gv.Group)
		}
		versions[gv.Group] = append(versions[gv.Group], gv.Version)
		places[gv] = place{group, version}
	}
	defs := slices.Clone(v.Definitions)
	slices.SortStableFunc(defs, func(a, b *resource.Definition) int { return strings.Compare(a.Plural, b.Plural) })
	for _, def := range defs {
		for i := range def.Served {
			s := &def.Served[i]
			gv := s.GroupVersion
			list := d.byVersion[gv]
			if list == nil {
				list = &metav1.APIResourceList{GroupVersion: gv.String()}
				d.byVersion[gv] = list
				group, version := apiregistration.Priorities(gv)
				add(gv, group, version)
			}
			list.APIResources = append(list.APIResources, resources(def, s)...)
			aggregated[gv] = append(aggregated[gv], discovered(def, s))
		}
	}
	if remotes != nil {
		for _, r := range remotes.Versions {
			if _, local := places[r.GroupVersion]; !local {
				add(r.GroupVersion, r.GroupPriority, r.VersionPriority)
			}
			delete(d.byVersion, r.GroupVersion) // it is not this server's to tell
			aggregated[r.GroupVersion], stale[r.GroupVersion] = r.Resources, !r.Current
			d.elsewhere = append(d.elsewhere, r.GroupVersion)
		}
	}
	preferred := func(group string) (p int32) {
		for _, ver := range versions[group] {
			p = max(p, places[schema.GroupVersion{Group: group, Version: ver}].group)
		}
		return p
	}
	slices.SortFunc(groups, func(a, b string) int {
		return cmp.Or(cmp.Compare(preferred(b), preferred(a)), strings.Compare(a, b))
	})
	d.core, d.named = &apidiscoveryv2.APIGroupDiscoveryList{}, &apidiscoveryv2.APIGroupDiscoveryList{}
	for _, g := range groups {
		vs := versions[g]
		// As preferred, then the newest and most stable first.
		slices.SortFunc(vs, func(a, b string) int {
			x, y := places[schema.GroupVersion{Group: g, Version: a}], places[schema.GroupVersion{Group: g, Version: b}]
			return cmp.Or(cmp.Compare(y.version, x.version), version.CompareKubeAwareVersionStrings(b, a))
		})
		group := &metav1.APIGroup{Name: g}
		agg := apidiscoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: g}}
		for _, ver := range vs {
			gv := schema.GroupVersion{Group: g, Version: ver}
			group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: ver})
			freshness := apidiscoveryv2.DiscoveryFreshnessCurrent
			if stale[gv] {
				freshness = apidiscoveryv2.DiscoveryFreshnessStale
			}
			agg.Versions = append(agg.Versions, apidiscoveryv2.APIVersionDiscovery{Version: ver, Resources: aggregated[gv], Freshness: freshness})
		}
		group.PreferredVersion = group.Versions[0]
		if g == "" {
			d.core.Items = append(d.core.Items, agg)
			continue
		}
		d.named.Items = append(d.named.Items, agg)
		d.groups.Groups = append(d.groups.Groups, *group)
		d.byGroup[g] = group
	}
	if d.groups.Groups == nil {
		d.groups.Groups = []metav1.APIGroup{}
	}
	d.coreTag, d.namedTag = tagOf(d.core), tagOf(d.named)
	return d
}

// resources lists a definition and its subresources as clients of the old form
// see them.
func resources(def *resource.Definition, s *resource.Served) []metav1.APIResource {
	main := metav1.APIResource{
		Name: def.Plural, SingularName: def.Singular, Namespaced: !def.ClusterScoped, Kind: s.Kind,
		Verbs: verbs(def), ShortNames: def.ShortNames, Categories: def.Categories,
	}
	if !def.Virtual {
		main.StorageVersionHash = versionHash(def)
	}
	out := []metav1.APIResource{main}
	for _, sub := range subresources(def, s) {
		r := metav1.APIResource{
			Name: def.Plural + "/" + sub.name, Namespaced: !def.ClusterScoped, Kind: sub.kind.Kind, Verbs: sorted(sub.verbs),
		}
		if sub.kind.GroupVersion() != s.GroupVersion {
			r.Group, r.Version = sub.kind.Group, sub.kind.Version
		}
		out = append(out, r)
	}
	return out
}

func discovered(def *resource.Definition, s *resource.Served) apidiscoveryv2.APIResourceDiscovery {
	scope := apidiscoveryv2.ScopeNamespace
	if def.ClusterScoped {
		scope = apidiscoveryv2.ScopeCluster
	}
	kind := s.GroupVersionKind()
	out := apidiscoveryv2.APIResourceDiscovery{
		Resource: def.Plural, SingularResource: def.Singular, Scope: scope,
		ResponseKind: &metav1.GroupVersionKind{Group: kind.Group, Version: kind.Version, Kind: kind.Kind},
		Verbs:        verbs(def), ShortNames: def.ShortNames, Categories: def.Categories,
	}
	for _, sub := range subresources(def, s) {
		out.Subresources = append(out.Subresources, apidiscoveryv2.APISubresourceDiscovery{
			Subresource: sub.name, Verbs: sorted(sub.verbs),
			ResponseKind: &metav1.GroupVersionKind{Group: sub.kind.Group, Version: sub.kind.Version, Kind: sub.kind.Kind},
		})
	}
	return out
}

type subresource struct {
	name  string
	kind  schema.GroupVersionKind
	verbs []string
}

func subresources(def *resource.Definition, s *resource.Served) []subresource {
	var out []subresource
	for name, u := range s.Updates {
		out = append(out, subresource{name, s.GroupVersionKind(), u.Verbs})
	}
	if s.Scale != nil {
		out = append(out, subresource{"scale", schema.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}, []string{"get", "patch", "update"}})
	}
	for _, c := range def.Connects {
		out = append(out, subresource{c.Name, c.Kind, c.Verbs})
	}
	slices.SortFunc(out, func(a, b subresource) int { return strings.Compare(a.name, b.name) })
	if def.Dynamic != nil {
		slices.Reverse(out) // status before scale, as upstream has them
	}
	return out
}

// verbs of a resource: those of dynamic ones have an order of their own.
func verbs(def *resource.Definition) []string {
	if def.Dynamic != nil {
		return def.Verbs
	}
	return sorted(def.Verbs)
}

func sorted(verbs []string) []string {
	out := slices.Clone(verbs)
	slices.Sort(out)
	return out
}

// versionHash lets clients notice that objects are stored in another version.
func versionHash(def *resource.Definition) string {
	sum := sha256.Sum256([]byte(def.Storage.Group + "/" + def.Storage.Version + "/" + def.Kind))
	return base64.StdEncoding.EncodeToString(sum[:8])
}
