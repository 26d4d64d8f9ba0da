package delta

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestRecordsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		w := newRecordWriter(&b)
		from := rapid.SampledFrom([]string{"", "a"}).Draw(t, "from")
		require.NoError(t, w.header(from, "to", 1<<30))
		var want []record
		var contents [][]byte
		for i := range rapid.IntRange(0, 5).Draw(t, "records") {
			off := int64(i) << 20
			if rapid.Bool().Draw(t, "zero") {
				require.NoError(t, w.extent('z', off, 4096))
				want, contents = append(want, record{tag: 'z', off: off, len: 4096}), append(contents, nil)
				continue
			}
			p := rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "content")
			require.NoError(t, w.write(p, off))
			want, contents = append(want, record{tag: 'w', off: off, len: int64(len(p))}), append(contents, p)
		}
		require.NoError(t, w.end())
		whole := b.Bytes()

		r, err := newRecordReader(bytes.NewReader(whole))
		require.NoError(t, err)
		var got []record
		for {
			rec, err := r.next()
			require.NoError(t, err)
			if rec.tag == 'e' {
				break
			}
			if rec.tag == 'w' {
				p := make([]byte, rec.len)
				require.NoError(t, r.content(p))
				require.Equal(t, contents[len(got)], p)
			}
			if rec.tag == 'w' || rec.tag == 'z' {
				got = append(got, rec)
			}
		}
		require.Equal(t, want, got)
		cutAt := rapid.IntRange(0, len(whole)-1).Draw(t, "cut")
		require.Error(t, drain(whole[:cutAt]), "a cut stream is never whole")
		require.Error(t, drain(append(bytes.Clone(whole), 0)), "nothing may follow the end")
	})
}

// drain reads a stream to its end.
func drain(b []byte) error {
	r, err := newRecordReader(bytes.NewReader(b))
	if err != nil {
		return err
	}
	for {
		rec, err := r.next()
		if err != nil {
			return err
		}
		switch rec.tag {
		case 'e':
			return nil
		case 'w':
			if _, err := io.CopyN(io.Discard, r.r, rec.len); err != nil {
				return err
			}
		}
	}
}

func FuzzRecords(f *testing.F) {
	var b bytes.Buffer
	w := newRecordWriter(&b)
	_ = w.header("a", "b", 100)
	_ = w.write([]byte("xy"), 7)
	_ = w.extent('z', 50, 10)
	_ = w.end()
	f.Add(b.Bytes())
	f.Fuzz(func(_ *testing.T, b []byte) { _ = drain(b) })
}
