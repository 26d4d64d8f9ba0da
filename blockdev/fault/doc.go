// Package fault wraps a Device and makes chosen operations fail, for tests that ask what a
// failure at any point leaves behind.
//
// The canonical loop fails operation 1, 2, 3 ... of a run until one run meets no fault, and
// checks the promises after each:
//
//	for n := 1; ; n++ {
//		dev := fault.New(inner, fault.Fault{Op: fault.AnyChange, Nth: n})
//		err := run(dev)
//		if dev.Injected() == 0 {
//			break // every operation was tried
//		}
//		// run must have failed, and left what it promises
//	}
package fault
