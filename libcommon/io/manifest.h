/* SPDX-License-Identifier: MIT */
/*
 * ft-manifest.json: what makes a directory complete (ft-manifest(5)).  It
 * lists files, sizes and SHA-256 digests and holds the provenance; it is
 * written last and removed before anything in the directory changes.
 */
#ifndef FT_IO_MANIFEST_H
#define FT_IO_MANIFEST_H

#include "libcommon/base/err.h"

#define FT_MANIFEST "ft-manifest.json"

/* Remove DIR's manifest, durably (no error when there is none). */
int ft_manifest_drop(const char *dir, struct ft_err *err);
/* Digest the named files of DIR (NAME or SUB/NAME) and write its manifest;
   extra is JSON text of members to add ("\"provenance\":[...]") or NULL. */
int ft_manifest_write(const char *dir, const char *const *files, int n,
		      const char *extra, struct ft_err *err);
/* 0 when DIR is complete and every listed file has its size and digest; 1
   when there is no manifest; -1 when something differs (err says what). */
int ft_manifest_check(const char *dir, struct ft_err *err);
/* sha256 of a file, as hex. */
int ft_file_sha256(const char *path, char hex[65], struct ft_err *err);
/* Identity of a model directory's weights: SHA-256 over the names and
   digests of config.json and its *.safetensors (not optimizer.safetensors),
   as sha256sum(1) prints them for the names in byte order.  A digest is taken
   from the manifest where its size agrees. */
int ft_model_digest(const char *dir, char hex[65], struct ft_err *err);

#endif
