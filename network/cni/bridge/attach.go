package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/pkg/ip"
	"github.com/containernetworking/plugins/pkg/ns"
)

// attach reserves addresses, links the pod to the bridge and maps its ports. It
// undoes all of it if a step fails.
func attach(c *config, args *skel.CmdArgs) (_ *current.Result, err error) {
	pod, err := ns.GetNS(args.Netns)
	if err != nil {
		return nil, fmt.Errorf("open the pod's network namespace: %w", err)
	}
	defer pod.Close()
	p, err := openPools(args)
	if err != nil {
		return nil, err
	}
	defer p.store.Close()

	ips, err := p.reserve(args)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, unlink(pod, args.IfName), p.release(args))
		}
	}()
	result := &current.Result{CNIVersion: c.CNIVersion, IPs: ips, Routes: routes(ips), DNS: c.DNS}
	if result.Interfaces, err = link(c, pod, args, ips); err != nil {
		return nil, err
	}
	last := len(result.Interfaces) - 1
	for _, ip := range ips {
		ip.Interface = current.Int(last)
	}
	conf, err := c.portmap(result)
	if err != nil || conf == nil {
		return result, err
	}
	if _, err = invoke.DelegateAdd(context.Background(), "portmap", conf, nil); err != nil {
		return nil, fmt.Errorf("map host ports: %w", err)
	}
	return result, nil
}

// detach goes on after an error, so that one thing that cannot be removed does
// not keep the others.
func detach(c *config, args *skel.CmdArgs) error {
	var errs []error
	conf, err := c.portmap(nil)
	if err == nil && conf != nil {
		err = invoke.DelegateDel(context.Background(), "portmap", conf, nil)
	}
	if err != nil {
		errs = append(errs, fmt.Errorf("unmap host ports: %w", err))
	}
	if args.Netns != "" {
		errs = append(errs, unlinkAt(args.Netns, args.IfName))
	}
	// Last: an address is free once nothing has it any more.
	p, err := openPools(args)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	defer p.store.Close()
	return errors.Join(append(errs, p.release(args))...)
}

// unlinkAt is unlink for a namespace that may be gone, and the interface with it.
func unlinkAt(netns, name string) error {
	pod, err := ns.GetNS(netns)
	var gone ns.NSPathNotExistErr
	var other ns.NSPathNotNSErr
	if errors.As(err, &gone) || errors.As(err, &other) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the pod's network namespace: %w", err)
	}
	defer pod.Close()
	return unlink(pod, name)
}

// inspect compares what is there with what add has answered.
func inspect(c *config, args *skel.CmdArgs) error {
	p, err := openPools(args)
	if err != nil {
		return err
	}
	found := p.store.FindByID(args.ContainerID, args.IfName)
	p.store.Close()
	if !found {
		return fmt.Errorf("the pod %s has no address reserved", args.ContainerID)
	}
	if c.PrevResult == nil {
		return errors.New("the previous result is required")
	}
	result, err := current.NewResultFromResult(c.PrevResult)
	if err != nil {
		return fmt.Errorf("read the previous result: %w", err)
	}
	if err := onBridge(c.Bridge, result.Interfaces); err != nil {
		return err
	}
	err = ns.WithNetNSPath(args.Netns, func(ns.NetNS) error {
		if err := ip.ValidateExpectedInterfaceIPs(args.IfName, result.IPs); err != nil {
			return err
		}
		return ip.ValidateExpectedRoute(result.Routes)
	})
	if err != nil {
		return fmt.Errorf("look into the pod's network namespace: %w", err)
	}
	conf, err := c.portmap(result)
	if err != nil || conf == nil {
		return err
	}
	return invoke.DelegateCheck(context.Background(), "portmap", conf, nil)
}
