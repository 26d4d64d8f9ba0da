package infinibox

import (
	"encoding/json"
	"net/netip"
	"slices"
)

// netInterface is a port that network spaces are laid over.
type netInterface struct {
	id, node int64
	name     string
	enabled  bool
}

// netSpace is a network space.
type netSpace struct {
	id         int64
	name       string
	service    string
	config     any
	interfaces []any
	ips        []*spaceIP
	properties any
	failback   bool
	mtu        int64
	rateLimit  any
}

type spaceIP struct {
	address string
	enabled bool
	kind    string
	iface   int64
}

// replicationService marks the spaces that links run over.
const replicationService = "RMR_SERVICE"

func (b *box) addNetwork(address string) {
	var ifaces []any
	for node := int64(1); node <= 3; node++ {
		id := b.newID()
		b.interfaces[id] = &netInterface{id: id, node: node, name: "eth-data1", enabled: true}
		ifaces = append(ifaces, id)
	}
	s := &netSpace{
		id: b.newID(), name: "replication", service: replicationService, interfaces: ifaces, mtu: 1500, properties: map[string]any{},
		config: map[string]any{"network": "192.0.2.0", "netmask": 24, "default_gateway": "192.0.2.1"},
	}
	s.ips = []*spaceIP{{address: address, enabled: true, kind: "REPLICATION_AND_MANAGEMENT", iface: ifaces[0].(int64)}}
	b.spaces[s.id] = s
}

func (b *box) replicationSpace() *netSpace {
	s, _ := find(b.spaces, func(s *netSpace) bool { return s.service == replicationService && len(s.ips) > 0 })
	return s
}

// spaceByIP finds the replication space that has an enabled address.
func (b *box) spaceByIP(address string) (*netSpace, bool) {
	return find(b.spaces, func(s *netSpace) bool {
		return s.service == replicationService &&
			slices.ContainsFunc(s.ips, func(ip *spaceIP) bool { return ip.address == address && ip.enabled })
	})
}

func (s *netSpace) view() view {
	ips := make([]any, 0, len(s.ips))
	for _, ip := range s.ips {
		ips = append(ips, ip.view())
	}
	return view{
		"id": s.id, "name": s.name, "service": s.service, "network_config": s.config, "interfaces": list(s.interfaces),
		"ips": ips, "properties": s.properties, "automatic_ip_failback": s.failback, "mtu": s.mtu, "rate_limit": s.rateLimit,
		"tenant_id": int64(1), "routes": []any{},
	}
}

func (ip *spaceIP) view() view {
	v := view{
		"ip_address": ip.address, "enabled": ip.enabled, "reserved": false, "vlan_id": int64(1), "type": ip.kind,
		"interface_id": any(ip.iface), "tenant_id": int64(1),
	}
	if !ip.enabled {
		v["interface_id"] = nil
	}
	return v
}

func list(items []any) []any {
	if items == nil {
		return []any{}
	}
	return items
}

func (i *netInterface) view() view {
	state := "UP"
	if !i.enabled {
		state = "DOWN"
	}
	return view{"id": i.id, "node_id": i.node, "name": i.name, "type": "PORT", "enabled": i.enabled, "state": state, "ports": []any{i.name}}
}

func listInterfaces(r *request) ([]view, view, *apiError) {
	var out []view
	for _, i := range sorted(r.box.interfaces) {
		out = append(out, i.view())
	}
	return out, (&netInterface{}).view(), nil
}

func createInterface(r *request) (any, *apiError) {
	o := parseObject("network interface", r.body)
	o.need("node_id", "name")
	i := &netInterface{node: o.number("node_id", 0), name: o.text("name"), enabled: true}
	o.oneOf("type", "PORT", "PORT", "PORT_GROUP", "VLAN")
	o.raw("ports")
	if err := o.finish(); err != nil {
		return nil, err
	}
	if i.node < 1 || i.node > 3 {
		return nil, notFound("node", i.node)
	}
	i.id = r.box.newID()
	r.box.interfaces[i.id] = i
	return i.view(), nil
}

func getInterface(r *request) (any, *apiError) {
	i, ok := r.box.interfaces[r.id]
	if !ok {
		return nil, notFound("network interface", r.id)
	}
	return i.view(), nil
}

func enableInterface(on bool) handler {
	return func(r *request) (any, *apiError) {
		if _, err := getInterface(r); err != nil {
			return nil, err
		}
		r.box.interfaces[r.id].enabled = on
		return getInterface(r)
	}
}

func listSpaces(r *request) ([]view, view, *apiError) {
	var out []view
	for _, s := range sorted(r.box.spaces) {
		out = append(out, s.view())
	}
	return out, (&netSpace{}).view(), nil
}

func getSpace(r *request) (any, *apiError) {
	s, err := r.space()
	if err != nil {
		return nil, err
	}
	return s.view(), nil
}

func (r *request) space() (*netSpace, *apiError) {
	if s, ok := r.box.spaces[r.id]; ok {
		return s, nil
	}
	return nil, notFound("network space", r.id)
}

func createSpace(r *request) (any, *apiError) {
	s := &netSpace{mtu: 1500, properties: map[string]any{}}
	if err := r.box.fillSpace(s, parseObject("network space", r.body), true); err != nil {
		return nil, err
	}
	s.id = r.box.newID()
	r.box.spaces[s.id] = s
	return s.view(), nil
}

func updateSpace(r *request) (any, *apiError) {
	s, err := r.space()
	if err != nil {
		return nil, err
	}
	changed := *s
	if err := r.box.fillSpace(&changed, parseObject("network space", r.body), false); err != nil {
		return nil, err
	}
	*s = changed
	return s.view(), nil
}

func (b *box) fillSpace(s *netSpace, o *object, create bool) *apiError {
	if create {
		o.need("name", "service", "network_config")
	}
	if v := o.text("name"); v != "" {
		s.name = v
		if err := checkName("network space", v); err != nil {
			o.fail(err)
		}
	}
	s.service = o.oneOf("service", s.service, replicationService, "NAS_SERVICE", "ISCSI_SERVICE", "OBJECT_SERVICE")
	if raw := o.raw("network_config"); raw != nil {
		c := parseObject("network_config", raw)
		c.need("network", "netmask")
		c.raw("default_gateway")
		if err := c.finish(); err != nil {
			o.fail(err)
		}
		_ = json.Unmarshal(raw, &s.config) // parsed above
	}
	if o.raw("interfaces") != nil {
		ids, _ := decode[[]int64](o, "interfaces", "an array of ids")
		s.interfaces = nil
		for _, id := range ids {
			if b.interfaces[id] == nil {
				o.fail(notFound("network interface", id))
			}
			s.interfaces = append(s.interfaces, id)
		}
	}
	if raw := o.raw("properties"); raw != nil {
		_ = json.Unmarshal(raw, &s.properties) // any JSON value is kept
	}
	s.failback = o.flag("automatic_ip_failback", s.failback)
	s.mtu = o.number("mtu", s.mtu)
	if limit := o.optional("rate_limit"); limit != nil {
		s.rateLimit = *limit
	}
	if other, ok := find(b.spaces, func(x *netSpace) bool { return x.name == s.name && x.id != s.id }); ok {
		o.fail(conflict("NAME_CONFLICT", "network space %q exists with id %d", s.name, other.id))
	}
	return o.finish()
}

func deleteSpace(r *request) (any, *apiError) {
	s, err := r.space()
	if err != nil {
		return nil, err
	}
	if l, used := find(r.box.links, func(l *link) bool { return l.space == s.id }); used {
		return nil, conflict("NETWORK_SPACE_IN_USE", "network space %q carries link %q", s.name, l.name)
	}
	delete(r.box.spaces, s.id)
	return s.view(), nil
}

func addSpaceIP(r *request) (any, *apiError) {
	s, err := r.space()
	if err != nil {
		return nil, err
	}
	var text string
	if parseValue(r.body, &text) != nil {
		return nil, invalid("network space ips: expected a JSON string, got %s", r.body)
	}
	address, parseErr := netip.ParseAddr(text)
	if parseErr != nil {
		return nil, invalid("network space ips: %v", parseErr)
	}
	for _, b := range r.box.w.boxes {
		for _, other := range b.spaces {
			if slices.ContainsFunc(other.ips, func(ip *spaceIP) bool { return ip.address == address.String() }) {
				return nil, conflict("IP_ADDRESS_CONFLICT", "address %s is in use on %s", address, b.title)
			}
		}
	}
	ip := &spaceIP{address: address.String(), enabled: true, kind: "REPLICATION_AND_MANAGEMENT"}
	if s.service != replicationService {
		ip.kind = "DATA"
	}
	if len(s.interfaces) > 0 {
		ip.iface, _ = s.interfaces[0].(int64)
	}
	s.ips = append(s.ips, ip)
	return ip.view(), nil
}

func (r *request) spaceIP() (*netSpace, *spaceIP, *apiError) {
	s, err := r.space()
	if err != nil {
		return nil, nil, err
	}
	for _, ip := range s.ips {
		if ip.address == r.segment {
			return s, ip, nil
		}
	}
	return nil, nil, fail(404, "IP_ADDRESS_NOT_FOUND", "network space %q has no address %s", s.name, r.segment)
}

func deleteSpaceIP(r *request) (any, *apiError) {
	s, ip, err := r.spaceIP()
	if err != nil {
		return nil, err
	}
	if ip.enabled {
		return nil, conflict("IP_ADDRESS_ENABLED", "address %s must be disabled first", ip.address)
	}
	s.ips = slices.DeleteFunc(s.ips, func(x *spaceIP) bool { return x == ip })
	return ip.view(), nil
}

func enableSpaceIP(on bool) handler {
	return func(r *request) (any, *apiError) {
		_, ip, err := r.spaceIP()
		if err != nil {
			return nil, err
		}
		ip.enabled = on
		return ip.view(), nil
	}
}
