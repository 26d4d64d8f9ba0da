package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// File is a spool file. What was written is durable after Sync only.
type File interface {
	io.Reader
	io.Writer
	io.Closer
	Sync() error
}

// FS is what a journal needs of a file system; tests put one in its place that fails and
// crashes. Names are paths. A created, renamed or removed name is durable after SyncDir of
// its directory only.
type FS interface {
	Mkdir(name string) error                      // with missing parents, durably; no error if it exists
	Create(name string) (File, error)             // truncates
	Append(name string, size int64) (File, error) // truncates to size, writes behind it
	Open(name string) (File, error)               // for reading
	Size(name string) (int64, error)              // fs.ErrNotExist
	Rename(from, to string) error                 // to does not exist
	Remove(name string) error                     // file or empty directory
	List(dir string) ([]string, error)            // names inside; fs.ErrNotExist
	SyncDir(dir string) error                     //
	Free(dir string) (bytes int64, err error)     // that an ordinary user may still write
}

// OS is the real file system.
type OS struct{}

// dirMode and fileMode: a spool holds the content of volumes.
const (
	dirMode  = 0o700
	fileMode = 0o600
)

// Mkdir implements FS. What it creates is durable in its parent, else a power cut could take
// the whole journal with it.
func (o OS) Mkdir(name string) error {
	if st, err := os.Stat(name); err == nil && st.IsDir() {
		return nil
	}
	parent := filepath.Dir(name)
	if parent != name {
		if err := o.Mkdir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(name, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return o.SyncDir(parent)
}

// Create implements FS. The file is always a new one: a receiver that was stopped for a while,
// and whose session another one has taken over meanwhile, goes on writing into the old one.
func (OS) Create(name string) (File, error) {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return claimed(openFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL))
}

// Append implements FS. A file that another receiver still has open is copied, see Create; what
// that one may write lies behind the verified prefix.
func (o OS) Append(name string, size int64) (File, error) {
	f, err := os.OpenFile(name, os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return o.takeOver(f, name, size)
	}
	if err = f.Truncate(size); err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// takeOver puts a new file with the first size bytes of f in its place.
func (o OS) takeOver(f *os.File, name string, size int64) (File, error) {
	defer f.Close()
	next, err := o.Create(name + ".new")
	if err != nil {
		return nil, err
	}
	if _, err = io.CopyN(next, f, size); err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return nil, errors.Join(err, next.Close())
	}
	return next, nil
}

// claimed takes the lock that tells Append of a receiver that lives. It ends with the file.
func claimed(f File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	// Where there are no such locks Append copies, which is slower and as right.
	_ = unix.Flock(int(f.(*os.File).Fd()), unix.LOCK_EX|unix.LOCK_NB)
	return f, nil
}

// Open implements FS.
func (OS) Open(name string) (File, error) { return openFile(name, os.O_RDONLY) }

func openFile(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, fileMode)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Size implements FS.
func (OS) Size(name string) (int64, error) {
	st, err := os.Stat(name)
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// List implements FS.
func (OS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// SyncDir implements FS.
func (OS) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Free implements FS.
func (OS) Free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil
}
