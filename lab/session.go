//go:build lab

package lab

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// prefix starts the name of every object that the lab makes.
const prefix = "ddsgolab"

// imageRoot is where disk images live: memory, so a sparse file costs only what is written.
const imageRoot = "/dev/shm"

// session is what one test process shares: its directory, its LVM configuration, its loops.
type session struct {
	dir string // imageRoot/ddsgolab.PID

	mu     sync.Mutex
	loops  map[string]bool // devices that LVM may see
	mapped map[string]bool // mappings with a physical volume on them
	next   int             // numbers for names
}

// namespaceName matches a line of ip netns list that is ours: the name, the process id.
var namespaceName = regexp.MustCompile(`^(` + prefix + `(\d+)n\S*)`)

// open makes the session at first use.
var open = sync.OnceValues(newSession)

// Need skips the test, saying why, unless the kernel has what the lab needs. With LAB=required, or when started by
// lab/exec.sh, a missing piece is a failure.
func Need(t testing.TB) {
	t.Helper()
	err := usable()
	if err == nil {
		_, err = open()
	}
	if err == nil {
		return
	}
	if os.Getenv("LAB") == "required" || os.Getenv("DDSGO_LAB") != "" {
		t.Fatalf("lab: %v", err)
	}
	t.Skipf("lab: %v (make lab runs this test)", err)
}

func usable() error {
	if os.Getuid() != 0 {
		return errors.New("not root")
	}
	f, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("no device-mapper: %w", err)
	}
	f.Close()
	for _, tool := range []string{"lvm", "dmsetup", "losetup"} {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	return nil
}

func get(t testing.TB) *session {
	t.Helper()
	Need(t)
	s, err := open()
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	return s
}

// name returns a fresh name with the lab's prefix, valid for a volume group, a device or a namespace.
func (s *session) name(sep string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	return fmt.Sprintf("%s%d%s%d", prefix, os.Getpid(), sep, s.next)
}

func newSession() (*session, error) {
	if err := sweep(); err != nil {
		return nil, err
	}
	s := &session{dir: filepath.Join(imageRoot, fmt.Sprintf("%s.%d", prefix, os.Getpid())), loops: map[string]bool{}, mapped: map[string]bool{}}
	if err := os.MkdirAll(filepath.Join(s.dir, "lvm"), 0o700); err != nil {
		return nil, err
	}
	if err := s.configure(); err != nil {
		return nil, err
	}
	if err := os.Setenv("LVM_SYSTEM_DIR", filepath.Join(s.dir, "lvm")); err != nil {
		return nil, err
	}
	if !udevRuns() {
		if err := os.Setenv("DM_DISABLE_UDEV", "1"); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// release removes the session's directory when no disk is left in it.
func (s *session) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.loops) == 0 {
		_ = os.RemoveAll(s.dir)
	}
}

func udevRuns() bool {
	_, err := os.Stat("/run/udev/control")
	return err == nil
}

// show lets LVM see a device of the lab from now on. A device-mapper device hides the disks under it, or LVM would
// find the same physical volume twice.
func (s *session) show(dev string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(dev, "/dev/mapper/") {
		s.mapped[dev] = true
	}
	return s.configure()
}

// hide ends show.
func (s *session) hide(dev string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mapped, dev)
	_ = s.configure() // at worst LVM goes on seeing a device that is gone
}

// configure writes an lvm.conf that can see the session's loop devices and nothing else. Called with mu held,
// or before the session is shared.
func (s *session) configure() error {
	var accept strings.Builder
	for _, l := range slices.Concat(slices.Sorted(maps.Keys(s.mapped)), slices.Sorted(maps.Keys(s.loops))) {
		if s.covered(l) {
			continue
		}
		fmt.Fprintf(&accept, "\"a|^%s$|\", ", regexp.QuoteMeta(l))
	}
	filter := "[ " + accept.String() + "\"r|.*|\" ]"
	udev := "udev_sync=0 udev_rules=0 verify_udev_operations=1"
	if udevRuns() {
		udev = "udev_sync=1 udev_rules=1"
	}
	conf := fmt.Sprintf(`activation { %s monitoring=0 }
devices {
	dir="/dev" scan=["/dev"] use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source="none"
	filter=%s
	global_filter=%s
}
global { event_activation=0 use_lvmpolld=0 }
backup { backup=0 archive=0 }
`, udev, filter, filter)
	if err := os.MkdirAll(filepath.Join(s.dir, "lvm"), 0o700); err != nil {
		return err
	}
	file := filepath.Join(s.dir, "lvm", "lvm.conf")
	if err := os.WriteFile(file+".tmp", []byte(conf), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".tmp", file)
}

// covered reports whether one of the mappings that LVM sees lies directly over dev.
func (s *session) covered(dev string) bool {
	holders, _ := filepath.Glob(filepath.Join("/sys/class/block", filepath.Base(dev), "holders", "*", "dm", "name"))
	for _, h := range holders {
		if name, err := os.ReadFile(h); err == nil && s.mapped["/dev/mapper/"+strings.TrimSpace(string(name))] {
			return true
		}
	}
	return false
}

// sweep removes what a killed run left: objects of process ids that are dead.
func sweep() error {
	dirs, err := filepath.Glob(filepath.Join(imageRoot, prefix+".*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), prefix+"."))
		if err != nil || alive(pid) {
			continue
		}
		removeMappings(fmt.Sprintf("%s%d", prefix, pid))
		for dev, file := range loopsBackedBy(dir + "/") {
			if out, err := exec.Command("losetup", "-d", dev).CombinedOutput(); err != nil {
				return fmt.Errorf("sweep of %s (%s): %w: %s", dev, file, err, out)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	out, _ := exec.Command("ip", "netns", "list").Output()
	for _, line := range strings.Split(string(out), "\n") {
		m := namespaceName.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if pid, err := strconv.Atoi(m[2]); err == nil && !alive(pid) {
			_ = exec.Command("ip", "netns", "del", m[1]).Run()
		}
	}
	return nil
}

// alive reports whether pid is a test process. After a reboot the number may belong to something else;
// then the left-over stays until that ends, which is the safe side.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// removeMappings removes every device-mapper device whose name starts with name and a non-digit, snapshots before
// their origins, suspended ones too. A pending inactive table is cleared before the resume, or that would load it.
func removeMappings(name string) {
	own := regexp.MustCompile("^" + regexp.QuoteMeta(name) + "([^0-9].*)?$")
	for range 10 {
		out, _ := exec.Command("dmsetup", "info", "-c", "--noheadings", "--separator", " ", "-o", "name,suspended").Output()
		left := 0
		for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
			dev, state, _ := strings.Cut(line, " ")
			if !own.MatchString(dev) {
				continue
			}
			left++
			_ = exec.Command("dmsetup", "clear", dev).Run()
			if strings.EqualFold(strings.TrimSpace(state), "suspended") {
				_ = exec.Command("dmsetup", "resume", dev).Run()
			}
			_ = exec.Command("dmsetup", "remove", dev).Run()
		}
		if left == 0 {
			return
		}
	}
}

// loopsBackedBy returns the loop devices whose file lies under dir.
func loopsBackedBy(dir string) map[string]string {
	loops := map[string]string{}
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil || !strings.HasPrefix(string(b), dir) {
			continue
		}
		loops["/dev/"+filepath.Base(filepath.Dir(filepath.Dir(f)))] = strings.TrimSpace(string(b))
	}
	return loops
}
