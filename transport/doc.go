// Package transport connects ddsgo with a ddsgo on another machine, by the system's
// ssh, or with one on this machine, by a pair of pipes. What flows over a connection
// is package session's business.
//
// # ssh
//
// The system's ssh runs, so that ssh_config, ProxyJump, agents, certificates and
// known_hosts mean what they mean at the command line. Host keys are checked, nobody
// is ever asked (BatchMode). One run uses one connection of its own, never a shared
// master: a stopped peer must not hold up other people's sessions, nor they ours.
//
//	ssh [-F CONFIG] -a -x -T -o BatchMode=yes -o ControlMaster=no -o ControlPath=none
//	    -o ClearAllForwardings=yes -o PermitLocalCommand=no -o RemoteCommand=none
//	    -o ConnectTimeout=15 -o ServerAliveInterval=10 -o ServerAliveCountMax=3
//	    -o Ciphers=aes128-gcm@openssh.com,... -- HOST 'ddsgo serve --stdio'
//
// The ciphers are those that "ssh -G HOST" says the configuration allows, with
// aes128-gcm@openssh.com moved to the front: it costs a third less than OpenSSH's
// default on a processor with AES instructions. Where the configuration forbids it, or
// an old ssh cannot tell, the order is left alone.
//
// # Arguments
//
// A host that begins with '-', or holds anything but the characters of host names,
// user names, addresses and ssh:// URLs, is refused before ssh sees it. The remote
// command is quoted for the remote's shell word by word; control characters in it are
// refused. No local shell is involved.
//
// # Ends
//
// The ssh process gets SIGTERM when ddsgo dies (PDEATHSIG). Close closes its input,
// which makes the other side's serve end, waits, and kills what does not go. What the
// other side wrote to stderr is kept, up to MaxStderr bytes of its end, and Explain
// puts it, and what ssh's exit status means, into the error that the user sees.
//
// # Files
//
// Files reads and replaces small files over the sftp subsystem: the state file that
// an OpenSVC agent keeps on both machines.
package transport
