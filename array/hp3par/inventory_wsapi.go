package hp3par

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Objects of the WSAPI, as far as an inventory shows them.
type (
	systemObject struct {
		ID           int    `json:"id"`
		Name         string `json:"name"`
		Version      string `json:"systemVersion"`
		Model        string `json:"model"`
		Serial       string `json:"serialNumber"`
		TotalNodes   int    `json:"totalNodes"`
		MasterNode   int    `json:"masterNode"`
		OnlineNodes  []int  `json:"onlineNodes"`
		ClusterNodes []int  `json:"clusterNodes"`
		Total        number `json:"totalCapacityMiB"`
		Allocated    number `json:"allocatedCapacityMiB"`
		Free         number `json:"freeCapacityMiB"`
		Failed       number `json:"failedCapacityMiB"`
		LicenseInfo  struct {
			Licenses []struct {
				Name string `json:"name"`
			} `json:"licenses"`
		} `json:"licenseInfo"`
	}
	usageObject struct {
		Total number `json:"totalMiB"`
		Used  number `json:"usedMiB"`
	}
	cpgObject struct {
		ID   int         `json:"id"`
		Name string      `json:"name"`
		Full int         `json:"numFPVVs"`
		Thin int         `json:"numTPVVs"`
		Tdvv int         `json:"numTDVVs"`
		Usr  usageObject `json:"UsrUsage"`
		Snp  usageObject `json:"SDUsage"`
		Adm  usageObject `json:"SAUsage"`
	}
	portObject struct {
		Position struct {
			Node int `json:"node"`
			Slot int `json:"slot"`
			Port int `json:"cardPort"`
		} `json:"portPos"`
		Mode     int    `json:"mode"`
		State    int    `json:"linkState"`
		Type     int    `json:"type"`
		Protocol int    `json:"protocol"`
		WWN      string `json:"portWWN"`
		NodeWWN  string `json:"nodeWWN"`
		Label    string `json:"label"`
	}
	volumeObject struct {
		Name    string `json:"name"`
		WWN     string `json:"wwn"`
		Prov    int    `json:"provisioningType"`
		CopyOf  string `json:"copyOf"`
		Size    number `json:"sizeMiB"`
		CPG     string `json:"userCPG"`
		Created string `json:"creationTime8601"`
		Group   string `json:"rcopyGroup"`
		Rcopy   int    `json:"rcopyStatus"`
	}
)

// number is a JSON number kept as it is written; releases write capacities whole or with
// a fraction.
type number string

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(b []byte) error {
	if _, err := strconv.ParseFloat(string(b), 64); err != nil {
		return fmt.Errorf("%w: number %q", ErrOutput, b)
	}
	*n = number(b)
	return nil
}

// Words for the WSAPI's numbers, as its public client names them.
func portModes() map[int]string { return map[int]string{2: "target", 3: "initiator", 4: "peer"} }

func portTypes() map[int]string {
	return map[int]string{1: "host", 2: "disk", 3: "free", 4: "iport", 5: "rcfc", 6: "peer", 7: "rcip", 8: "iscsi", 9: "cna"}
}

func portProtocols() map[int]string {
	return map[int]string{1: "FC", 2: "iSCSI", 3: "FCoE", 4: "IP", 5: "SAS"}
}

// portStates: only the number of a port that works is taken for certain.
func portStates() map[int]string { return map[int]string{4: "ready"} }

func provisionings() map[int]string {
	return map[int]string{1: "full", 2: "tpvv", wsapiSnapshot: provSnapshot, 6: "tdvv"}
}

// inventory implements inventoryTransport.
func (w *webServices) inventory(ctx context.Context, into *Inventory) error {
	return w.with(ctx, func(s *session) error {
		for section, read := range map[string]func(context.Context, *session, *Inventory) error{
			sectionSystem: readSystem, sectionCPGs: readCPGs, sectionPorts: readPorts, sectionVolumes: readVolumes,
		} {
			if err := read(ctx, s, into); err != nil {
				if err := into.refused(section, err); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// fill makes a table whose rows have these values in the section's first known columns.
func (i *Inventory) fill(section string, rows [][]string) {
	t := newTable(columnsOf(section)[0])
	for _, values := range rows {
		row := map[string]string{}
		for n, name := range t.Columns {
			row[name] = values[n]
		}
		t.Rows = append(t.Rows, row)
	}
	i.Sections[section] = t
}

// readSystem also gives the nodes, which have no resource of their own.
func readSystem(ctx context.Context, s *session, into *Inventory) error {
	var o systemObject
	if err := s.call(ctx, http.MethodGet, "/system", nil, &o); err != nil {
		return err
	}
	into.Version = o.Version
	for _, l := range o.LicenseInfo.Licenses {
		into.Licences = append(into.Licences, l.Name)
	}
	into.fill(sectionSystem, [][]string{{strconv.Itoa(o.ID), o.Name, o.Model, o.Serial, strconv.Itoa(o.TotalNodes), strconv.Itoa(o.MasterNode),
		string(o.Total), string(o.Allocated), string(o.Free), string(o.Failed)}})
	online, cluster := map[int]bool{}, map[int]bool{}
	for _, n := range o.OnlineNodes {
		online[n] = true
	}
	for _, n := range o.ClusterNodes {
		cluster[n] = true
	}
	yes := map[bool]string{true: "Yes", false: "No"}
	var nodes [][]string
	for n := range min(o.TotalNodes, 16) {
		state := map[bool]string{true: "online", false: "offline"}[online[n]]
		nodes = append(nodes, []string{"-", "-", "-", yes[cluster[n]], "-", yes[n == o.MasterNode], "-", strconv.Itoa(n), state})
	}
	into.fill(sectionNodes, nodes)
	return nil
}

func readCPGs(ctx context.Context, s *session, into *Inventory) error {
	var list struct {
		Members []cpgObject `json:"members"`
	}
	if err := s.call(ctx, http.MethodGet, "/cpgs", nil, &list); err != nil {
		return err
	}
	var rows [][]string
	for _, o := range list.Members {
		all := strconv.Itoa(o.Full + o.Thin + o.Tdvv)
		rows = append(rows, []string{strconv.Itoa(o.ID), o.Name, "-", all, strconv.Itoa(o.Thin), "-", "-",
			dash(string(o.Usr.Total)), dash(string(o.Usr.Used)), dash(string(o.Snp.Total)), dash(string(o.Snp.Used)), dash(string(o.Adm.Total)), dash(string(o.Adm.Used))})
	}
	into.fill(sectionCPGs, rows)
	return nil
}

func readPorts(ctx context.Context, s *session, into *Inventory) error {
	var list struct {
		Members []portObject `json:"members"`
	}
	if err := s.call(ctx, http.MethodGet, "/ports", nil, &list); err != nil {
		return err
	}
	var rows [][]string
	for _, o := range list.Members {
		rows = append(rows, []string{fmt.Sprintf("%d:%d:%d", o.Position.Node, o.Position.Slot, o.Position.Port), word(portModes(), o.Mode), word(portStates(), o.State),
			dash(o.NodeWWN), dash(o.WWN), word(portTypes(), o.Type), word(portProtocols(), o.Protocol), dash(o.Label), "-", "-"})
	}
	into.fill(sectionPorts, rows)
	return nil
}

func readVolumes(ctx context.Context, s *session, into *Inventory) error {
	var list struct {
		Members []volumeObject `json:"members"`
	}
	if err := s.call(ctx, http.MethodGet, "/volumes", nil, &list); err != nil {
		return err
	}
	var rows [][]string
	for _, o := range list.Members {
		rows = append(rows, []string{o.Name, o.WWN, word(provisionings(), o.Prov), dash(o.CopyOf), "-", string(o.Size), dash(o.CPG), dash(o.Created),
			dash(o.Group), "number " + strconv.Itoa(o.Rcopy)})
	}
	into.fill(sectionVolumes, rows)
	return nil
}

func dash(s string) string {
	if strings.TrimSpace(s) == "" {
		return "-"
	}
	return s
}
