package hp3par

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var cet = zones{"UTC": time.UTC, "CET": time.FixedZone("CET", 3600)}

const rowsPlain = `RCG.SVC1,hp3par1.opensvc.com,Started,Primary,Periodic,"Last-Sync 2014-03-25 16:12:47 CET , Period 5m, auto_recover,over_per_alert"
 ,VV_SVC1_ROOT,31110,VV_SVC1_ROOT,31079,Synced,2014-03-25 16:12:48 CET

`

// Every shape of arrays in the field, and some that are feared.
func TestParseGroups(t *testing.T) {
	at := time.Date(2014, 3, 25, 15, 12, 47, 0, time.UTC)
	member := " ,V,1,W,2,Synced,NA\n"
	for name, c := range map[string]struct {
		out   string
		check func(t *testing.T, g map[string]group)
	}{
		"the seed's sample": {rowsPlain, func(t *testing.T, g map[string]group) {
			r := g["RCG.SVC1"]
			require.Equal(t, primary, r.role)
			require.Equal(t, "hp3par1.opensvc.com", r.target)
			require.True(t, r.lastSync.at.Equal(at))
			require.Equal(t, 5*time.Minute, r.period)
			require.Equal(t, []string{"auto_recover", "over_per_alert"}, r.policies)
			require.Equal(t, "Synced", r.members[0].sync)
			require.True(t, r.members[0].last.at.Equal(at.Add(time.Second)))
		}},
		"header rows": {"Name,Target,Status,Role,Mode,Options\n" + strings.Replace(rowsPlain, "\n ,VV", "\n ,LocalVV,ID,RemoteVV,ID,SyncStatus,LastSyncTime\n ,VV", 1),
			func(t *testing.T, g map[string]group) {
				require.Len(t, g, 1)
				require.Len(t, g["RCG.SVC1"].members, 1)
			}},
		"options of one word, no quotes": {"G,T,Started,Primary,Sync,auto_recover\n" + member, func(t *testing.T, g map[string]group) {
			require.True(t, g["G"].has("auto_recover"))
			require.True(t, g["G"].members[0].last.none())
		}},
		"empty options": {"G,T,Started,Primary,Sync,\n" + member, func(t *testing.T, g map[string]group) {
			require.Empty(t, g["G"].policies)
			require.Len(t, g["G"].members, 1)
		}},
		"no options column": {"G,T,Started,Primary,Sync\n" + member, func(t *testing.T, g map[string]group) { require.Len(t, g["G"].members, 1) }},
		"commas without quotes": {"G,T,Stopped,Secondary,Periodic,Period 15m,auto_recover,auto_synchronize\n", func(t *testing.T, g map[string]group) {
			require.Equal(t, 15*time.Minute, g["G"].period)
			require.Len(t, g["G"].policies, 2)
			require.True(t, g["G"].lastSync.none())
		}},
		"progress": {"G,T,Started,Primary-Rev,Periodic,\n ,V,1,W,2,Syncing (100%),2014-03-25 16:12:48 XYZ\n", func(t *testing.T, g map[string]group) {
			m := g["G"].members[0]
			require.Equal(t, "Syncing", m.sync)
			require.Equal(t, 100, m.percent)
			require.ErrorIs(t, m.last.err, ErrZone, "an unknown zone is never taken for UTC")
			require.True(t, m.last.at.IsZero())
			require.NotZero(t, m.last.wall)
			require.Equal(t, primaryRev, g["G"].role)
		}},
		"a name that begins another": {"MYRCG,T,Started,Primary,Sync,\nMYRCG.r12345,T,Stopped,Secondary,Sync,\n", func(t *testing.T, g map[string]group) {
			require.Equal(t, "Started", g["MYRCG"].status)
			require.Equal(t, "Stopped", g["MYRCG.r12345"].status)
		}},
		"carriage returns": {strings.ReplaceAll(rowsPlain, "\n", "\r\n"), func(t *testing.T, g map[string]group) { require.Len(t, g["RCG.SVC1"].members, 1) }},
		"no group at all":  {"", func(t *testing.T, g map[string]group) { require.Empty(t, g) }},
		"a role from the future": {"G,T,Started,Tertiary,Sync,\n", func(t *testing.T, g map[string]group) {
			r := g["G"].role
			require.False(t, r.primary() || r.secondary())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := parseGroups(c.out, cet)
			require.NoError(t, err)
			c.check(t, g)
		})
	}
}

func TestParseGroupsRefuses(t *testing.T) {
	for name, out := range map[string]string{
		"an error below a normal header": "Name,Target,Status,Role,Mode,Options\nError: group matching nosuch does not exist on the system\n",
		"a volume without a group":       " ,V,1,W,2,Synced,NA\n",
		"a cut row":                      "G,T,Started\n",
		"a cut volume":                   "G,T,Started,Primary,Sync,\n ,V,1,W\n",
		"a group twice":                  "G,T,Started,Primary,Sync,\nG,T,Stopped,Primary,Sync,\n",
		"too many sessions":              "Too many local CLI connections.\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseGroups(out, cet)
			require.Error(t, err)
		})
	}
}

func TestParseLinks(t *testing.T) {
	l, err := parseLinks("Target,Node,Address,Status,Options\nhp3par2,0:3:1,192.0.2.20,Down,-\nhp3par2,1:3:1,192.0.2.21,Up\nreceive,0:3:1,receive,Up,-\n")
	require.NoError(t, err)
	up, known := listing{links: l}.linkUp("hp3par2")
	require.True(t, up && known)
	_, known = listing{links: l}.linkUp("elsewhere")
	require.False(t, known)
	up, known = listing{links: l[:1]}.linkUp("hp3par2")
	require.True(t, !up && known)
}

func TestZones(t *testing.T) {
	z, err := newZones(map[string]string{"IST": "+05:30"})
	require.NoError(t, err)
	require.True(t, z.parse("2026-10-09 22:07:07 IST").at.Equal(time.Date(2026, 10, 9, 16, 37, 7, 0, time.UTC)))
	require.False(t, z.parse("2026-10-09 22:07:07 +0530").at.IsZero())
	require.True(t, z.parse("2026-10-09 22:07:07").at.IsZero(), "no zone is no zone")
	_, err = newZones(map[string]string{"X": "one hour"})
	require.ErrorIs(t, err, ErrConfig)
}

func TestActRefusesForeignWords(t *testing.T) {
	for _, bad := range []string{"", "-f", "a b", "a;b", "a\nb", "a`b", "$x", "a|b", "a&b", "a>b", `a"b`, "a\x00b"} {
		_, err := act{op: opStop, group: bad}.cli()
		require.ErrorIs(t, err, ErrArgument, "%q", bad)
	}
	line, err := act{op: opReverse, group: "MYRCG.r12345"}.cli()
	require.NoError(t, err)
	require.Equal(t, "setrcopygroup reverse -f -waittask MYRCG.r12345", line)
}

func FuzzParseGroups(f *testing.F) {
	f.Add(rowsPlain)
	f.Add("G,T,Started,Primary,Sync,\n ,V,1,W,2,Syncing (7%),NA\n")
	f.Add("Error: no\n")
	f.Fuzz(func(t *testing.T, out string) {
		groups, err := parseGroups(out, cet)
		if err != nil {
			return
		}
		for name, g := range groups {
			require.Equal(t, name, g.name)
			require.NotEmpty(t, name)
			for _, m := range g.members {
				require.GreaterOrEqual(t, m.percent, -1)
			}
		}
	})
}

func FuzzParseLinks(f *testing.F) {
	f.Add("hp3par2,0:3:1,192.0.2.20,Down,-\n")
	f.Fuzz(func(t *testing.T, out string) {
		if _, err := parseLinks(out); err != nil {
			require.NotEmpty(t, err.Error())
		}
	})
}

func TestParseVolumes(t *testing.T) {
	const plain = "DATA,2014-03-25 15:13:47 CET,tpvv\nSNAP1,2014-03-25 16:13:47 CET,snp\n"
	for name, out := range map[string]string{
		"plain": plain, "header row": "Name,CreationTime,Prov\n" + plain, "carriage returns": strings.ReplaceAll(plain, "\n", "\r\n"),
		"a line below": plain + "------------\n",
	} {
		v, err := parseVolumes(out, cet)
		require.NoError(t, err, name)
		require.Len(t, v, 2, name)
		require.Equal(t, "snp", v["SNAP1"].prov)
		require.True(t, v["SNAP1"].created.at.Equal(time.Date(2014, 3, 25, 15, 13, 47, 0, time.UTC)))
	}
	v, err := parseVolumes("no vv listed\n", cet)
	require.NoError(t, err)
	require.Empty(t, v)
	for _, bad := range []string{"A,2014-03-25 15:13:47 CET\n", "A,NA,snp\nA,NA,snp\n", "Error: Invalid column name Prov\n", "A,NA,snp,x\n"} {
		_, err := parseVolumes(bad, cet)
		require.Error(t, err, bad)
	}
}

func TestParseLicencesAndClock(t *testing.T) {
	l := volumeListing{licences: parseLicences("License key was generated on Tue Mar 25 15:13:47 2013\n\nLicense features currently enabled:\nRemote Copy\nThin Provisioning (102400G)\nVirtual Copy   Expiration date: never\n")}
	require.True(t, l.licensed("Virtual Copy") && l.licensed("Thin Provisioning") && l.licensed("Remote Copy"))
	require.False(t, l.licensed("Peer Motion"))
	require.False(t, volumeListing{licences: parseLicences("")}.licensed("Virtual Copy"))
	at := time.Date(2014, 3, 25, 15, 13, 47, 0, time.UTC)
	for _, out := range []string{"0,2014-03-25 16:13:47 CET\n1,2014-03-25 16:13:47 CET\n", "Node,Date\n0,2014-03-25 16:13:47 CET\n", "0,2014-03-25 16:13:47 CET (Europe/Paris)\n", "Node        Date\n   0 2014-03-25 16:13:47 CET\n   1 2014-03-25 16:13:48 CET\n"} {
		require.True(t, parseClock(out, cet).at.Equal(at), out)
	}
	require.True(t, parseClock("gibberish\n", cet).none())
}

// An age needs no table where clock and snapshot share a zone, and no guess where not.
func TestSnapshotAge(t *testing.T) {
	now := time.Date(2014, 3, 25, 16, 13, 47, 0, time.UTC)
	for name, c := range map[string]struct {
		clock, created string
		age            time.Duration
		known          bool
	}{
		"same zone":               {"2014-03-25 17:13:47 CET", "2014-03-25 16:13:47 CET", time.Hour, true},
		"same zone, not known":    {"2014-03-25 17:13:47 XYZ", "2014-03-25 16:13:47 XYZ", time.Hour, true},
		"two zones of the table":  {"2014-03-25 17:13:47 CET", "2014-03-25 15:13:47 UTC", time.Hour, true},
		"one zone not known":      {"2014-03-25 17:13:47 XYZ", "2014-03-25 15:13:47 UTC", 0, false},
		"no clock":                {"", "2014-03-25 16:13:47 CET", time.Hour, true},
		"no clock, zone unknown":  {"", "2014-03-25 16:13:47 XYZ", 0, false},
		"never":                   {"2014-03-25 17:13:47 CET", "NA", 0, false},
		"from the array's future": {"2014-03-25 17:13:47 CET", "2014-03-25 17:13:49 CET", 0, true},
	} {
		age, known := volumeListing{clock: cet.parse(c.clock)}.age(volume{created: cet.parse(c.created)}, now)
		require.Equal(t, c.known, known, name)
		require.Equal(t, c.age, age, name)
	}
}

func FuzzParseVolumes(f *testing.F) {
	f.Add("SNAP1,2014-03-25 16:13:47 CET,snp\n")
	f.Add("no vv listed\n")
	f.Fuzz(func(t *testing.T, out string) {
		parseClock(out, cet)
		parseLicences(out)
		volumes, err := parseVolumes(out, cet)
		for name, v := range volumes {
			require.NoError(t, err)
			require.Equal(t, name, v.name)
			require.NotEmpty(t, name)
		}
	})
}

// What arrays print, byte for byte, with and without the rows that nohdtot leaves out.
func TestParseTable(t *testing.T) {
	const cpg13 = "0,CPG1,-,4,2,4,1,1024,512,256,128,32,16\n"
	for name, c := range map[string]struct {
		section, out, column, value string
		rows                        int
	}{
		"showsys":                                {sectionSystem, "12345,hp3par1,HPE_3PAR 8200,CZ3012345,2,0,20054016,1024,20052992,0\n", "Model", "HPE_3PAR 8200", 1},
		"showsys, header":                        {sectionSystem, "ID,Name,Model,Serial,Nodes,Master,TotalCap,AllocCap,FreeCap,FailedCap\n12345,hp3par1,M,S,2,0,1,1,1,0\n", "Serial", "S", 1},
		"shownode":                               {sectionNodes, "100,32768,32768,Yes,GreenBlnk,Yes,CZ3-0,0,OK\n100,32768,32768,Yes,GreenBlnk,No,CZ3-1,1,OK\n", "LED", "GreenBlnk", 2},
		"showcpg, 3.x":                           {sectionCPGs, cpg13, "Adm_Used", "16", 1},
		"showcpg, header with names that repeat": {sectionCPGs, "Id,Name,Warn%,VVs,TPVVs,Usr,Snp,Total,Used,Total,Used,Total,Used\n" + cpg13 + "----------\n1,total\n", "Snp_Total", "256", 1},
		"showcpg, newer":                         {sectionCPGs, "0,CPG1,-,4,2,4,1,1024,512\n", "Used", "512", 1},
		"showcpg, of a release to come":          {sectionCPGs, "0,CPG1,-,4,2,0,4,1,1024,512\n", "column10", "512", 1},
		"the same with its header":               {sectionCPGs, "Id,Name,Warn%,VVs,TPVVs,TDVVs,Usr,Snp,Total,Used\n0,CPG1,-,4,2,7,4,1,1024,512\n", "TDVVs", "7", 1},
		"showport":                               {sectionPorts, "0:1:1,target,ready,2FF7,2011,host,FC,-,1:1:1,none\r\n", "FailoverState", "none", 1},
		"showvv":                                 {sectionVolumes, "V,6000,tpvv,---,256,256,CPG1,2014-03-25 15:13:47 CET,MYRCG,Started\n", "RcopyStatus", "Started", 1},
		"showvv, no Remote Copy":                 {sectionVolumes, "V,6000,snp,W,256,256,CPG1,2014-03-25 15:13:47 CET\n", "CopyOf", "W", 1},
		"none":                                   {sectionVolumes, "no vv listed\n", "", "", 0},
	} {
		table, err := parseTable(c.out, columnsOf(c.section))
		require.NoError(t, err, name)
		require.Len(t, table.Rows, c.rows, name)
		if c.rows > 0 {
			require.Equal(t, c.value, table.Rows[0][c.column], "%s: %v", name, table.Rows[0])
		}
	}
	_, err := parseTable("1,a,b,c,d,e,f,g,h,i\n1,a\n", columnsOf(sectionSystem))
	require.ErrorIs(t, err, ErrOutput)
	_, err = parseTable("Error: Invalid column name \"x\"\n", columnsOf(sectionVolumes))
	require.Error(t, err)
}

func FuzzParseTable(f *testing.F) {
	f.Add("0,CPG1,-,4,2,4,1,1024,512,256,128,32,16\n")
	f.Add("Id,Name,x\n0,CPG1,\n")
	f.Fuzz(func(t *testing.T, out string) {
		for _, section := range SectionNames() {
			table, err := parseTable(out, columnsOf(section))
			if err != nil {
				continue
			}
			for _, row := range table.Rows {
				require.Len(t, row, len(table.Columns), "no column swallows another")
			}
		}
	})
}
