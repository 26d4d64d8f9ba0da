package lvm

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// fields is what a report asks for. Segment fields (chunk_size) make LVM print one row per segment of a volume.
const fields = "lv_name,vg_name,lv_uuid,vg_uuid,lv_path,lv_dm_path,lv_attr,origin,origin_uuid,lv_size,origin_size," +
	"snap_percent,chunk_size,lv_tags,lv_time,lv_role,pool_lv,thin_id,lv_suspended,lv_inactive_table,vg_extent_size,vg_free"

// maxLVs bounds a report; no site has so many volumes in one group.
const maxLVs = 1 << 16

// Report lists the volumes of a group, hidden ones too, in one call. An empty name means all groups.
// A group that does not exist is ErrFailed.
func (l *LVM) Report(ctx context.Context, vg string) ([]LV, error) {
	args := []string{"lvs", "--all", "--reportformat", "json", "--units", "b", "--nosuffix", "--options", fields}
	subject := "all volume groups"
	if vg != "" {
		if err := checkName(vg); err != nil {
			return nil, err
		}
		args = append(args, vg)
		subject = "volume group " + vg
	}
	res, err := l.look(ctx, "lvm", args...)
	if err != nil {
		return nil, commandError("report on", subject, err)
	}
	return parseReport(res.Stdout)
}

// row is one line of a report: LVM's basic JSON has nothing but strings.
type row struct {
	Name          string `json:"lv_name"`
	VG            string `json:"vg_name"`
	UUID          string `json:"lv_uuid"`
	VGUUID        string `json:"vg_uuid"`
	Path          string `json:"lv_path"`
	DMPath        string `json:"lv_dm_path"`
	Attr          string `json:"lv_attr"`
	Origin        string `json:"origin"`
	OriginUUID    string `json:"origin_uuid"`
	Size          string `json:"lv_size"`
	OriginSize    string `json:"origin_size"`
	SnapPercent   string `json:"snap_percent"`
	ChunkSize     string `json:"chunk_size"`
	Tags          string `json:"lv_tags"`
	Time          string `json:"lv_time"`
	Role          string `json:"lv_role"`
	Pool          string `json:"pool_lv"`
	Thin          string `json:"thin_id"`
	Suspended     string `json:"lv_suspended"`
	InactiveTable string `json:"lv_inactive_table"`
	ExtentSize    string `json:"vg_extent_size"`
	VGFree        string `json:"vg_free"`
}

func parseReport(out []byte) ([]LV, error) {
	var doc struct {
		Report []struct {
			LV *[]row `json:"lv"`
		} `json:"report"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReport, err)
	}
	if len(doc.Report) == 0 {
		return nil, fmt.Errorf("%w: no \"report\" in %.80q", ErrReport, out)
	}
	var lvs []LV
	seen := map[string]bool{}
	for _, rep := range doc.Report {
		if rep.LV == nil {
			return nil, fmt.Errorf("%w: a report without \"lv\"", ErrReport)
		}
		for _, r := range *rep.LV {
			if seen[r.UUID] {
				continue // a further segment of the same volume
			}
			seen[r.UUID] = true
			v, err := r.lv()
			if err != nil {
				return nil, err
			}
			if lvs = append(lvs, v); len(lvs) > maxLVs {
				return nil, fmt.Errorf("%w: more than %d volumes", ErrReport, maxLVs)
			}
		}
	}
	return lvs, nil
}

func (r row) lv() (LV, error) {
	attr, err := ParseAttr(r.Attr)
	if err != nil {
		return LV{}, fmt.Errorf("volume %s/%s: %w", r.VG, r.Name, err)
	}
	if r.Name == "" || r.VG == "" || len(r.UUID) != uuidLen || len(r.VGUUID) != uuidLen {
		return LV{}, fmt.Errorf("%w: volume %q of group %q with UUIDs %q, %q", ErrReport, r.Name, r.VG, r.UUID, r.VGUUID)
	}
	name, hidden := strings.CutPrefix(r.Name, "[")
	v := LV{
		Name: strings.TrimSuffix(name, "]"), Hidden: hidden, VG: r.VG, UUID: r.UUID, VGUUID: r.VGUUID, Path: r.Path,
		DMName: strings.TrimPrefix(r.DMPath, "/dev/mapper/"), Attr: attr, Origin: strings.Trim(r.Origin, "[]"), OriginUUID: r.OriginUUID,
		Pool: strings.Trim(r.Pool, "[]"), Tags: list(r.Tags), Role: list(r.Role), SnapPercent: Unknown,
		Suspended: attr.Suspended() || r.Suspended == "suspended", InactiveTable: r.InactiveTable == "inactive table present",
	}
	if v.DMName == "" {
		v.DMName = DMName(v.VG, v.Name)
	}
	p := numbers{subject: v.FullName()}
	v.Size = p.int("lv_size", r.Size)
	v.OriginSize = p.int("origin_size", r.OriginSize)
	v.ChunkSize = p.int("chunk_size", r.ChunkSize)
	v.Thin = p.int("thin_id", r.Thin)
	v.ExtentSize = p.int("vg_extent_size", r.ExtentSize)
	v.VGFree = p.int("vg_free", r.VGFree)
	if v.Snapshot() && r.SnapPercent != "" {
		v.SnapPercent = p.percent("snap_percent", r.SnapPercent)
	}
	if r.Time != "" {
		// Not knowing when a volume was made is no reason to refuse it: clocks never decide anything here.
		v.Time, _ = time.Parse("2006-01-02 15:04:05 -0700", r.Time)
	}
	return v, p.err
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// numbers parses the numbers of one row and keeps the first error.
type numbers struct {
	subject string
	err     error
}

func (p *numbers) fail(field, s string) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: volume %s: %s is %q", ErrReport, p.subject, field, s)
	}
}

func (p *numbers) int(field, s string) int64 {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		p.fail(field, s)
		return 0
	}
	return n
}

func (p *numbers) percent(field, s string) float64 {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n < 0 || n > 100 {
		p.fail(field, s)
		return Unknown
	}
	return n
}
