// Package arraytest is the conformance suite for drivers: one set of cases that the
// memory fake, the simulators, the labs and every plug-in pass alike.
//
// A driver's test is a Lab, which opens the driver and can hurt its storage, and
//
//	arraytest.Test(t, lab, arraytest.Options{})
//
// # What is tried
//
// Every verb is run from every state that can be built: normal, broken, swapped, link
// down, one side gone, failed over, the lost side back with and without writes of its
// own. Each run is checked, repeated (the second finds nothing to do), stopped after
// each of its steps and run again from either site, deprived of the reply to each of its
// steps (done or not done), and disturbed between its steps: by another operator's
// command, a link that flaps or stays down, a side that dies. Then the resource is
// brought home with the verbs alone: from every state there is a way back.
//
// Labs that can take the resource apart (LifeCycler) get the same for create, delete, add
// and remove, and every other verb where there is no resource: it is refused.
//
// # What counts as broken
//
//   - both sides accepted writes by the effect of a verb that was not forced
//   - a side accepts writes while the driver says that it does not
//   - the direction changed by a verb that changes none
//   - a verb that was refused did something
//   - a verb that was done did not reach its goal, or lost data that it promises to keep
//   - a repeated verb did something again, or a stopped one could not be finished
//   - the storage itself has noted harm (Witness)
//   - a run that ends in neither a result nor a typed error, or never
//
// What a lab cannot do (ErrLeftOut) leaves those cases out; the report names them. A verb
// that the driver does not know is tried all the same: it must refuse and change nothing.
// States that are built with such a verb are left out, and a driver without failback needs
// a lab that makes a promoted resource anew (Remaker).
package arraytest
