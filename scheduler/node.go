package scheduler

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// node is what the scheduler knows of one node. Owned by the loop.
type node struct {
	// api is the object last seen; nil while pods are known of a node that
	// has not been seen (or is gone), and such a node takes no pods.
	api *v1.Node
	// generation changes with everything that a plugin can see.
	generation uint64
	index      int // its slot

	allocatable amounts
	maxPods     int64
	requested   amounts
	scored      amounts
	pods        map[types.UID]*placed
	ports       portSet
	images      map[string]int64 // size by name
}

// placed is a pod on a node, assumed or confirmed.
type placed struct {
	pod             *v1.Pod
	node            string
	request, scored amounts
	ports           []hostPort
	carries         []carrier
	assumed         bool
}

// nodes is the state that decisions are made from: a dense array, with the
// slot of every name. A slot that is free has a node without an api object.
type nodes struct {
	slots      []*node
	slot       map[string]int
	free       []int
	pods       map[types.UID]*placed
	ready      int // nodes with an api object
	generation uint64
	// log holds the slots of the last changes: the newest is of generation,
	// the one before of generation-1, and so on.
	log []int

	// What relations between pods are decided by.
	tallies   tallies
	divisions map[string]*domains
	// priorities counts the placed pods of each priority.
	priorities map[int32]int
}

func newNodes() *nodes {
	return &nodes{
		slot: map[string]int{}, pods: map[types.UID]*placed{},
		tallies: newTallies(), divisions: map[string]*domains{}, priorities: map[int32]int{},
	}
}

func (s *nodes) touch(n *node) {
	s.generation++
	n.generation = s.generation
	if len(s.log) > 2*len(s.slots)+1024 {
		s.log = append(s.log[:0], s.log[len(s.log)/2:]...)
	}
	s.log = append(s.log, n.index)
}

// since returns the slots that changed after a generation, some more than once.
// known is false where going through all slots is less work, or the only way.
func (s *nodes) since(generation uint64) (slots []int, known bool) {
	k := s.generation - generation
	if k > uint64(len(s.log)) || k > uint64(len(s.slots)) {
		return nil, false
	}
	return s.log[uint64(len(s.log))-k:], true
}

// named returns the node, making room for it where it is new.
func (s *nodes) named(name string) *node {
	if i, ok := s.slot[name]; ok {
		return s.slots[i]
	}
	n := &node{pods: map[types.UID]*placed{}}
	if k := len(s.free); k > 0 {
		i := s.free[k-1]
		s.free = s.free[:k-1]
		n.index = i
		s.slots[i], s.slot[name] = n, i
	} else {
		n.index = len(s.slots)
		s.slot[name] = n.index
		s.slots = append(s.slots, n)
	}
	s.touch(n)
	return n
}

// known returns a node that is there, or nil.
func (s *nodes) known(name string) *node {
	if i, ok := s.slot[name]; ok && s.slots[i].api != nil {
		return s.slots[i]
	}
	return nil
}

// drop frees the slot of a node that is gone and runs nothing that is known.
func (s *nodes) drop(name string) {
	i, ok := s.slot[name]
	if !ok || s.slots[i].api != nil || len(s.slots[i].pods) > 0 {
		return
	}
	delete(s.slot, name)
	empty := &node{index: i, pods: map[types.UID]*placed{}}
	s.touch(empty)
	s.slots[i] = empty
	s.free = append(s.free, i)
}

// setNode takes in a new state of a node.
func (s *nodes) setNode(obj *v1.Node) {
	n := s.named(obj.Name)
	if n.api == nil {
		s.ready++
	}
	n.api = obj
	n.allocatable = amountsOf(obj.Status.Allocatable)
	n.maxPods = obj.Status.Allocatable.Pods().Value()
	n.images = make(map[string]int64, len(obj.Status.Images))
	for _, image := range obj.Status.Images {
		for _, name := range image.Names {
			n.images[name] = image.SizeBytes
		}
	}
	s.touch(n)
}

// removeNode forgets a node. Its pods stay until they are removed themselves.
func (s *nodes) removeNode(name string) {
	i, ok := s.slot[name]
	if !ok || s.slots[i].api == nil {
		return
	}
	s.slots[i].api = nil
	s.ready--
	s.touch(s.slots[i])
	s.drop(name)
}

// place counts a pod on a node. A pod that is placed already is moved or
// updated; an assumption does not replace what is confirmed.
func (s *nodes) place(pod *v1.Pod, nodeName string, assumed bool) {
	if was := s.pods[pod.UID]; was != nil {
		if assumed && !was.assumed {
			return
		}
		s.remove(pod.UID)
	}
	p := &placed{pod: pod, node: nodeName, assumed: assumed, ports: hostPorts(&pod.Spec), carries: carries(pod)}
	p.request, p.scored = requestOf(pod)
	s.put(p)
}

// put counts a pod that is placed nowhere.
func (s *nodes) put(p *placed) {
	n := s.named(p.node)
	n.pods[p.pod.UID] = p
	s.pods[p.pod.UID] = p
	n.requested.add(&p.request, 1)
	n.scored.add(&p.scored, 1)
	n.ports.add(p.ports)
	s.tallies.count(p, n.index, 1)
	s.priorities[priorityOf(p.pod)]++
	s.touch(n)
}

// remove takes a pod off its node.
func (s *nodes) remove(uid types.UID) {
	if p := s.pods[uid]; p != nil {
		s.lift(p)
		s.drop(p.node)
	}
}

// lift takes a placed pod off its node, which stays.
func (s *nodes) lift(p *placed) {
	delete(s.pods, p.pod.UID)
	n := s.named(p.node)
	delete(n.pods, p.pod.UID)
	n.requested.add(&p.request, -1)
	n.scored.add(&p.scored, -1)
	n.ports.remove(p.ports)
	s.tallies.count(p, n.index, -1)
	if x := priorityOf(p.pod); s.priorities[x] == 1 {
		delete(s.priorities, x)
	} else {
		s.priorities[x]--
	}
	s.touch(n)
}

// forget takes an assumption back, unless it has been confirmed meanwhile.
func (s *nodes) forget(uid types.UID) {
	if p := s.pods[uid]; p != nil && p.assumed {
		s.remove(uid)
	}
}
