package main

import (
	"errors"
	"fmt"

	"github.com/containernetworking/cni/pkg/skel"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/plugins/ipam/host-local/backend/allocator"
	"github.com/containernetworking/plugins/plugins/ipam/host-local/backend/disk"
)

// pools are the node's ranges, with the files that say which address is whose.
type pools struct {
	store  *disk.Store
	ranges []*allocator.IPAllocator
}

// openPools opens the files. The caller closes the store.
func openPools(args *skel.CmdArgs) (*pools, error) {
	conf, _, err := allocator.LoadIPAMConfig(args.StdinData, args.Args)
	if err != nil {
		return nil, fmt.Errorf("address ranges: %w", err)
	}
	store, err := disk.New(conf.Name, conf.DataDir)
	if err != nil {
		return nil, fmt.Errorf("address records: %w", err)
	}
	p := &pools{store: store}
	for i := range conf.Ranges {
		p.ranges = append(p.ranges, allocator.NewIPAllocator(&conf.Ranges[i], store, i))
	}
	return p, nil
}

// reserve takes an address out of every range, or none.
func (p *pools) reserve(args *skel.CmdArgs) ([]*current.IPConfig, error) {
	var out []*current.IPConfig
	for i, r := range p.ranges {
		ip, err := r.Get(args.ContainerID, args.IfName, nil)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("reserve an address of range %d: %w", i, err), p.release(args))
		}
		out = append(out, ip)
	}
	return out, nil
}

// release gives the pod's addresses back, if it has any.
func (p *pools) release(args *skel.CmdArgs) error {
	var errs []error
	for _, r := range p.ranges {
		if err := r.Release(args.ContainerID, args.IfName); err != nil {
			errs = append(errs, fmt.Errorf("give an address back: %w", err))
		}
	}
	return errors.Join(errs...)
}
