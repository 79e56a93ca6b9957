package cgroup

// Bounds of the kernel and of the API.
const (
	minShares = 2
	maxShares = 262144
	// sharesPerCPU is the weight of one whole CPU.
	sharesPerCPU = 1024
	// minQuota is the least quota the kernel takes, in microseconds.
	minQuota = 1000
)

// MilliCPUToShares gives cpu.shares for a request in thousandths of a CPU.
func MilliCPUToShares(milli int64) int64 {
	if milli == 0 {
		return minShares
	}
	return min(max(milli*sharesPerCPU/1000, minShares), maxShares)
}

// MilliCPUToQuota gives the CFS quota for a limit in thousandths of a CPU and
// a period, both in microseconds; 0 is no limit.
func MilliCPUToQuota(milli, period int64) int64 {
	if milli == 0 {
		return 0
	}
	return max(milli*period/1000, minQuota)
}
