// Package config reads /etc/ddsgo/ddsgo.yaml and the files of conf.d beside it into
// validated types.
//
// Everything is strict: an unknown key, driver, site, array or unit, a second YAML
// document, a duplicate name and a value of the wrong type are errors that name the
// file, the line and what is known there. Nothing is guessed, and no default hides a
// typing error.
//
//	local_site: site1
//	arrays:
//	  NAME: {type: hp3par | infinibox, ...}
//	resources:
//	  NAME: {driver: lvm | hp3par | rbd | infinibox | hp3parsnap | PLUG-IN, ...}
//	plugins: {dirs: [/usr/libexec/ddsgo], allow_path: false}
//
// The order of the sites of a resource matters: the first is home. Secrets never stand
// in these files: they come from password_file or, for array NAME, from the environment
// variable DDSGO_PASSWORD_NAME (upper case, everything but letters and digits as _).
//
// The files of conf.d are read in the order of their names; each may hold any of the
// four keys. A name that occurs twice is an error that names both files.
package config
