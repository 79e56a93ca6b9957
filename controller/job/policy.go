package job

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
)

// verdict is what the failure policy of a job says of a failed pod.
type verdict struct {
	// ignored: the failure does not count.
	ignored bool
	// failIndex: the index is not tried again.
	failIndex bool
	// failJob says why the whole job fails, or is empty.
	failJob string
}

// judge applies the first rule that matches.
func judge(policy *batchv1.PodFailurePolicy, p *v1.Pod) verdict {
	if policy == nil {
		return verdict{}
	}
	for i := range policy.Rules {
		r := &policy.Rules[i]
		why := ""
		if r.OnExitCodes != nil {
			if c := exited(&p.Status, r.OnExitCodes); c != nil {
				why = fmt.Sprintf("Container %s for pod %s/%s failed with exit code %v matching %v rule at index %d",
					c.Name, p.Namespace, p.Name, c.State.Terminated.ExitCode, r.Action, i)
			}
		} else if c := conditioned(&p.Status, r.OnPodConditions); c != nil {
			why = fmt.Sprintf("Pod %s/%s has condition %v matching %v rule at index %d", p.Namespace, p.Name, c.Type, r.Action, i)
		}
		if why == "" {
			continue
		}
		switch r.Action {
		case batchv1.PodFailurePolicyActionIgnore:
			return verdict{ignored: true}
		case batchv1.PodFailurePolicyActionFailIndex:
			return verdict{failIndex: true}
		case batchv1.PodFailurePolicyActionFailJob:
			return verdict{failJob: why}
		case batchv1.PodFailurePolicyActionCount:
			return verdict{}
		}
	}
	return verdict{}
}

// exited finds a container, init containers last, that ended with one of the
// exit codes. Success is none of them.
func exited(s *v1.PodStatus, r *batchv1.PodFailurePolicyOnExitCodesRequirement) *v1.ContainerStatus {
	for _, list := range [][]v1.ContainerStatus{s.ContainerStatuses, s.InitContainerStatuses} {
		for i := range list {
			c := &list[i]
			t := c.State.Terminated
			if t == nil || t.ExitCode == 0 || r.ContainerName != nil && *r.ContainerName != c.Name {
				continue
			}
			if in := slices.Contains(r.Values, t.ExitCode); r.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn && in ||
				r.Operator == batchv1.PodFailurePolicyOnExitCodesOpNotIn && !in {
				return c
			}
		}
	}
	return nil
}

func conditioned(s *v1.PodStatus, patterns []batchv1.PodFailurePolicyOnPodConditionsPattern) *v1.PodCondition {
	for i := range s.Conditions {
		c := &s.Conditions[i]
		if slices.ContainsFunc(patterns, func(p batchv1.PodFailurePolicyOnPodConditionsPattern) bool {
			return p.Type == c.Type && p.Status == c.Status
		}) {
			return c
		}
	}
	return nil
}

// enough says which rule of the success policy the indexes fulfil, if any.
func enough(policy *batchv1.SuccessPolicy, succeeded indexes, completions int) (message string, met bool) {
	if policy == nil || len(succeeded) == 0 {
		return "", false
	}
	for i, r := range policy.Rules {
		switch {
		case r.SucceededIndexes != nil:
			required := parseIndexes(*r.SucceededIndexes, completions)
			if len(required) == 0 {
				continue
			}
			n := required.common(succeeded)
			met = n == required.count() || r.SucceededCount != nil && n >= int(*r.SucceededCount)
		case r.SucceededCount != nil:
			met = succeeded.count() >= int(*r.SucceededCount)
		}
		if met {
			return fmt.Sprintf("Matched rules at index %d", i), true
		}
	}
	return "", false
}
