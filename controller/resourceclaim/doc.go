// Package resourceclaim gives pods the claims on devices that they have
// templates for, and takes claims back that nobody uses.
//
//	pods     A pod gets a claim of its own for each template that it names, and
//	         its status says which. A pod that was bound without the scheduler
//	         is written down as a user of its claims.
//	claims   Users that have finished or are gone are crossed out. With the last
//	         one the devices are given back. A claim that was made for a pod
//	         which will not run again is deleted.
//
// Nothing is allocated here: that is the scheduler's work. Users that are no pods
// are left alone. That a pod is gone is asked of the API server before it
// counts, for a cache may lag behind.
package resourceclaim
