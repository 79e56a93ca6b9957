package configuration

import "context"

// WaitIssuers waits until the issuers in force have been found.
func (a *Authentication) WaitIssuers(ctx context.Context) error {
	for _, i := range a.force.Load().all {
		if err := i.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}
