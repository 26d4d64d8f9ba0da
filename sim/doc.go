// Package sim holds the array simulators that ddsgo is tested against and that
// `ddsgo sim` runs: sim/hp3par is an HPE 3PAR pair, sim/infinibox an Infinidat
// InfiniBox pair, sim/control the control API that both serve.
//
// # Why simulators of this kind
//
// A replication driver that was only ever tested against its author's own idea
// of the array proves nothing. Each simulator therefore
//
//   - speaks the real protocol on real sockets (ssh, HTTPS, HTTP), so that the
//     vendor's own client programs run against it unmodified;
//   - shares no code, constant or parser with the driver it tests (an import
//     test enforces this), so that one misreading cannot hide the other;
//   - refuses what the array would refuse: an unknown flag, key, query or path
//     is an error, and what is not built answers 501 and says so;
//   - takes time: tasks and synchronisations have a beginning, a middle that can
//     be observed, and an end, on a clock that tests can advance;
//   - fails on demand: links, arrays, management addresses, single replies.
//
// Nothing in the production packages imports sim; only tests and the `ddsgo sim`
// verbs do.
package sim
