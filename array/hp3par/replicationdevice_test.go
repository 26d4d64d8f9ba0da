package hp3par_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ddsgo/ddsgo/array/hp3par"
)

func dockerText(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	return string(text)
}

// S0.2: the plug-in's documentation forgets a comma, writes = for : and leaves an incomplete
// replication_device standing before the whole one.
func TestDockerSamples(t *testing.T) {
	fc, err := hp3par.ImportDocker("hpe.conf", []byte(dockerText(t, "docker-fc.conf")), hp3par.DockerOptions{})
	require.NoError(t, err)
	require.Equal(t, []hp3par.DockerBackend{{
		Name: "DEFAULT", Mode: "async", Period: 900 * time.Second,
		Source: hp3par.DockerArray{Name: "192.0.2.1", URL: "https://192.0.2.1:8080/api/v1", User: "3paradm", Password: "3pardata", SANIP: "192.0.2.1", SANLogin: "3paradm",
			SANPassword: "3pardata", CPG: "FC_r6", SnapCPG: "SNAP_r6"},
		Target: hp3par.DockerArray{Name: "target3par", URL: "https://192.0.2.2:8080/api/v1", User: "3paradm", Password: "3parsecond", SANIP: "192.0.2.2", SANLogin: "3paradm",
			SANPassword: "3parsecond", CPG: "FC_r6_T", SnapCPG: "SNAP_r6_T"},
	}}, fc.Backends)
	require.Contains(t, fc.Notes, "hpe.conf:15: replication_device: a comma is missing after snap_cpg_map")
	require.Contains(t, fc.Notes, "hpe.conf:6: logging is the plug-in's own: not used")

	iscsi, err := hp3par.ImportDocker("hpe.conf", []byte(dockerText(t, "docker-iscsi.conf")), hp3par.DockerOptions{})
	require.NoError(t, err)
	require.Len(t, iscsi.Backends, 1)
	b := iscsi.Backends[0]
	require.Equal(t, "ActivePassiveRepBackend", b.Name)
	require.Equal(t, "source3par", b.Source.Name)
	require.Equal(t, []string{"192.0.2.101", "192.0.2.102"}, b.Source.ISCSI)
	require.Equal(t, []string{"192.0.2.103", "192.0.2.104"}, b.Target.ISCSI)
	require.Equal(t, []string{"Test_RCG"}, b.Groups)
	for _, want := range []string{
		"hpe.conf:11: replication_device names only backend_id source3par, and another one follows: taken for the name of the source array",
		"hpe.conf:15: replication_device: a comma is missing after snap_cpg_map",
		"hpe.conf:21: replication_device: a comma is missing after san_password",
		"hpe.conf:22: replication_device: = stands after hpe3par_iscsi_ips where : is meant",
		"hpe.conf:24: [other] has no replication_device: not replicated, left out",
	} {
		require.Contains(t, iscsi.Notes, want)
	}
}

// Every mistake is told with file, line and key.
func TestDockerMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		file, old, new string
		want           string
	}{
		"cpg_map missing":          {"fc", "                     cpg_map:FC_r6:FC_r6_T,\n", "", "hpe.conf:12: cpg_map: is missing"},
		"snap_cpg_map missing":     {"fc", "                     snap_cpg_map:SNAP_r6:SNAP_r6_T\n", "", "hpe.conf:12: snap_cpg_map: is missing"},
		"cpg_map without a target": {"fc", "cpg_map:FC_r6:FC_r6_T,", "cpg_map:FC_r6,", `hpe.conf:14: cpg_map: "FC_r6": write SOURCE:TARGET`},
		"cpg_map of another CPG":   {"fc", "cpg_map:FC_r6:FC_r6_T", "cpg_map:X:FC_r6_T", "hpe.conf:14: cpg_map: maps from X, and hpe3par_cpg is FC_r6"},
		"unknown mode":             {"fc", "replication_mode:asynchronous", "replication_mode:periodic", `hpe.conf:13: replication_mode: "periodic": write synchronous, asynchronous or streaming`},
		"the placeholder":          {"fc", "replication_mode:asynchronous", "replication_mode:<synchronous | asynchronous | streaming>", "hpe.conf:13: replication_mode: \"<synchronous | asynchronous | streaming>\" is no value"},
		"mode missing":             {"fc", "                     replication_mode:asynchronous,\n", "", "hpe.conf:12: replication_mode: is missing"},
		"backend_id missing":       {"fc", "backend_id:target3par,\n                     ", "", "hpe.conf:12: backend_id: is missing"},
		"sync_period too short":    {"fc", "asynchronous,", "asynchronous, sync_period:299,", `hpe.conf:13: sync_period: "299" is not between 300 and 31622400 seconds`},
		"sync_period too long":     {"fc", "asynchronous,", "asynchronous,\n                     sync_period:31622401,", `hpe.conf:14: sync_period: "31622401" is not between`},
		"sync_period no number":    {"fc", "asynchronous,", "asynchronous, sync_period:15m,", `hpe.conf:13: sync_period: "15m" is not between`},
		"source password missing":  {"fc", "hpe3par_password=3pardata\n", "", "hpe.conf:1: hpe3par_password: is missing"},
		"target password missing":  {"fc", "                     hpe3par_password:3parsecond,\n", "", "hpe.conf:12: hpe3par_password: is missing"},
		"target url missing":       {"fc", "                     hpe3par_api_url:https://192.0.2.2:8080/api/v1,\n", "", "hpe.conf:12: hpe3par_api_url: is missing"},
		"url without a scheme":     {"fc", "hpe3par_api_url=https://192.0.2.1:8080", "hpe3par_api_url=192.0.2.1", "hpe.conf:11: hpe3par_api_url:"},
		"hpe3par_cpg missing":      {"fc", "hpe3par_cpg=FC_r6\n", "", "hpe.conf:1: hpe3par_cpg: is missing"},
		"driver missing":           {"fc", "hpedockerplugin_driver=hpedockerplugin.hpe.hpe_3par_fc.HPE3PARFCDriver\n", "", "hpe.conf:1: hpedockerplugin_driver: is missing"},
		"driver unknown":           {"fc", "hpe_3par_fc.HPE3PARFCDriver", "hpe_nimble.Driver", "hpe.conf:5: hpedockerplugin_driver:"},
		"misspelt key":             {"fc", "san_login:", "san_lgoin:", "hpe.conf:20: san_lgoin: is no key of replication_device"},
		"san_login missing":        {"fc", "                     san_login:3paradm,\n", "", "hpe.conf:12: san_login: is missing"},
		"a key twice":              {"fc", "san_ip:192.0.2.2,", "san_ip:192.0.2.2, san_ip:192.0.2.3,", "hpe.conf:19: san_ip: stands in line 19 already"},
		"an option twice":          {"fc", "san_login=3paradm\n", "san_login=3paradm\nsan_login=other\n", "hpe.conf:9: san_login: stands in line 8 already"},
		"two pairs without comma":  {"fc", "san_ip:192.0.2.2,", "san_ip:192.0.2.2 san_foo:x,", "hpe.conf:19: san_ip: \"192.0.2.2 san_foo:x\" is no value: is a comma missing?"},
		"no option":                {"fc", "logging=DEBUG", "logging", "hpe.conf:6: logging: is neither [SECTION] nor key=value"},
		"encrypted both": {"fc", "3pardata\nhpe3par_cpg", "+CB1E8Je1j8=\nhpe3par_cpg",
			"hpe.conf:3: hpe3par_password: is encrypted with a pass-phrase that ddsgo does not have"},
		"encrypted on one array": {"fc", "hpe3par_password:3parsecond", "hpe3par_password:+CB1E8Je1j8=",
			"hpe.conf:18: hpe3par_password: one array's is encrypted and the other one's is not"},
		"encrypted san_password":     {"fc", "san_password:3parsecond", "san_password:+CB1E8Je1j8=", "hpe.conf:21: san_password: is encrypted"},
		"iscsi ips missing here":     {"iscsi", "hpe3par_iscsi_ips=192.0.2.101,192.0.2.102\n", "", "hpe.conf:1: hpe3par_iscsi_ips: is missing"},
		"iscsi ips missing there":    {"iscsi", "\n                     hpe3par_iscsi_ips=192.0.2.103;192.0.2.104", "", "hpe.conf:12: hpe3par_iscsi_ips: is missing"},
		"iscsi semicolons outside":   {"iscsi", "192.0.2.101,192.0.2.102", "192.0.2.101;192.0.2.102", "hpe.conf:10: hpe3par_iscsi_ips: outside replication_device the addresses are separated by commas"},
		"iscsi commas inside":        {"iscsi", "192.0.2.103;192.0.2.104", "192.0.2.103,192.0.2.104", "hpe.conf:22: hpe3par_iscsi_ips: inside replication_device the addresses are separated by semicolons"},
		"iscsi no address":           {"iscsi", "192.0.2.103;", "192.0.2;", `hpe.conf:22: hpe3par_iscsi_ips: "192.0.2" is no address`},
		"replicationGroup no name":   {"iscsi", "replicationGroup=Test_RCG", "replicationGroup=;ls", "hpe.conf:27: replicationGroup:"},
		"nothing that is replicated": {"fc", "replication_device", "other_device", "hpe.conf:13: "},
	} {
		t.Run(name, func(t *testing.T) {
			text := dockerText(t, "docker-"+c.file+".conf")
			require.Contains(t, text, c.old)
			_, err := hp3par.ImportDocker("hpe.conf", []byte(strings.Replace(text, c.old, c.new, 1)), hp3par.DockerOptions{})
			require.ErrorContains(t, err, c.want)
			require.ErrorIs(t, err, hp3par.ErrConfig)
			require.NotContains(t, err.Error(), "3pardata", "no secret in an error")
		})
	}
}

// S0.4: the limits themselves are accepted.
func TestDockerSyncPeriod(t *testing.T) {
	for text, want := range map[string]time.Duration{"300": 300 * time.Second, "31622400": 31622400 * time.Second} {
		in := strings.Replace(dockerText(t, "docker-fc.conf"), "asynchronous,", "asynchronous, sync_period:"+text+",", 1)
		got, err := hp3par.ImportDocker("hpe.conf", []byte(in), hp3par.DockerOptions{})
		require.NoError(t, err)
		require.Equal(t, want, got.Backends[0].Period)
	}
}

// S0.5: encrypted passwords do not matter where nobody needs them.
func TestDockerNoPasswords(t *testing.T) {
	in := strings.ReplaceAll(dockerText(t, "docker-fc.conf"), "3pardata", "+CB1E8Je1j8=")
	got, err := hp3par.ImportDocker("hpe.conf", []byte(in), hp3par.DockerOptions{NoPasswords: true})
	require.NoError(t, err)
	require.Empty(t, got.Backends[0].Source.Password)
}

// S0.6: several back-ends, and DEFAULT where none is named.
func TestDockerBackends(t *testing.T) {
	fc := dockerText(t, "docker-fc.conf")
	in := fc + "\n[gold]\n" + fc + "\n[silver]\n" + strings.Replace(fc, "asynchronous", "streaming", 1) +
		"\ndocker volume create -d hpe --name v -o replicationGroup=R0 -o size=1\ndocker volume create --name w -o replicationGroup=R1 -o backend=gold\n"
	got, err := hp3par.ImportDocker("hpe.conf", []byte(in), hp3par.DockerOptions{})
	require.NoError(t, err)
	var names []string
	for _, b := range got.Backends {
		names = append(names, b.Name+":"+strings.Join(b.Groups, ","))
	}
	require.Equal(t, []string{"DEFAULT:R0", "gold:R1", "silver:"}, names)
	require.True(t, got.Backends[2].Streaming)
}

func FuzzImportDocker(f *testing.F) {
	f.Add(dockerText(f, "docker-fc.conf"))
	f.Add(dockerText(f, "docker-iscsi.conf"))
	f.Add("replication_device=backend_id:x,\n y")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := hp3par.ImportDocker("hpe.conf", []byte(text), hp3par.DockerOptions{})
		var mistakes hp3par.DockerMistakes
		if err != nil && !errors.As(err, &mistakes) {
			t.Fatal(err)
		}
		for _, b := range got.Backends {
			if err == nil && (b.Target.Name == "" || b.Source.CPG == "" || b.Target.SnapCPG == "" || b.Mode == "") {
				t.Fatalf("incomplete, and no mistake: %+v", b)
			}
		}
	})
}
