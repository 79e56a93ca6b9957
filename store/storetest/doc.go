// Package storetest holds the tests that every implementation of store.Store
// passes. They use a store for themselves, under keys below /registry/, and
// leave keys behind.
package storetest
