/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/io/safetensors.h"
#include "tests/lib/test.h"

static char dir[] = "/tmp/ft-test-st-XXXXXX";

static int parse_n(const char *hdr, size_t n, uint64_t ndata,
		   struct ft_err *err)
{
	struct ft_st st;
	int rc;

	memset(err, 0, sizeof(*err));
	rc = ft_st_parse(&st, hdr, n, ndata, err);
	if (rc == 0)
		ft_st_release(&st);
	return rc;
}

static void good(const char *hdr, uint64_t ndata, const char *what)
{
	struct ft_err err;

	CHECK(parse_n(hdr, strlen(hdr), ndata, &err) == 0, "%s %s", what,
	      err.msg);
}

static void bad(const char *hdr, uint64_t ndata, const char *word,
		const char *what)
{
	struct ft_err err;

	CHECK(parse_n(hdr, strlen(hdr), ndata, &err) < 0 &&
		      err.code == FT_EXIT_DATA && strstr(err.msg, word),
	      "%s: %s", what, err.msg);
}

#define T(name, dtype, shape, from, to)                          \
	"\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape \
	",\"data_offsets\":[" #from "," #to "]}"

static void test_good(void)
{
	good("{}", 0, "no tensor at all");
	good("{\"__metadata__\":{\"a\":\"b\"}}", 0, "only metadata");
	good("{" T("a", "F32", "[2,3]", 0, 24) "}", 24, "one tensor");
	good("{" T("a", "F32", "[2,3]", 0, 24) "}    ", 24, "spaces after it");
	good("{" T("a", "F32", "[]", 0, 4) "}", 4, "a scalar");
	good("{" T("a", "F32", "[0,7]", 0, 0) "}", 0, "a tensor of nothing");
	good("{" T("b", "U8", "[4]", 4, 8) "," T("a", "U8", "[4]", 0, 4) "}", 8,
	     "written in another order than laid out");
	good("{" T("a", "U8", "[0]", 4, 4) "," T("b", "U8", "[4]", 0, 4) "," T(
		     "c", "U8", "[0]", 0, 0) "}",
	     4, "empty tensors between others");
	good("{" T("a", "U8", "[1,1,1,1,1,1,1,1]", 0, 1) "}", 1,
	     "eight dimensions");
	good("{" T("", "U8", "[1]", 0, 1) "}", 1, "an empty name");
}

static void test_json(void)
{
	struct ft_err err;
	char nul[] = "{\"a\0b\":{}}";

	bad("", 0, "header of 0", "an empty header");
	bad("null", 0, "begin", "no object");
	bad("[]", 0, "begin", "an array");
	bad(" {}", 0, "begin", "a space before it");
	bad("\n{}", 0, "begin", "a newline before it");
	bad("{}\n", 0, "end", "a newline after it");
	bad("{}\t ", 0, "end", "a tab after it");
	bad("{} {}", 0, "", "two objects");
	bad("{}x}", 0, "", "text after it");
	bad("{", 0, "", "half an object");
	bad("{not json}", 0, "", "no JSON");
	bad("{\"\xff\":1}", 0, "", "no UTF-8");
	bad("{" T("a", "U8", "[1]", 0, 1) "," T("a", "U8", "[1]", 1, 2) "}", 2,
	    "", "a tensor twice");
	bad("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "",
	    "metadata twice");
	bad("{\"__metadata__\":{\"a\":1}}", 0, "'a' is not a string",
	    "metadata that is a number");
	bad("{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}", 0, "not a string",
	    "metadata that is an object");
	bad("{\"__metadata__\":[\"a\"]}", 0, "not an object",
	    "metadata as an array");
	CHECK(parse_n(nul, sizeof(nul) - 1, 0, &err) < 0, "a raw NUL: %s",
	      err.msg);
	bad("{\"__metadata__\":{\"a\":\"b\\u0000\"}}", 0, "NUL",
	    "NUL in metadata");
	bad("{\"__metadata__\":{\"a\\u0000\":\"b\"}}", 0, "NUL",
	    "NUL in its name");
	/* which wrote the second's entries behind the first's memory */
	bad("{\"__metadata__\":{\"a\":\"b\"},\"__metadata__\\u0000\":{\"a\":\"b\"}}",
	    0, "NUL", "metadata a second time");
	bad("{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
	    0, "NUL", "an escaped NUL in a name");
}

static void test_info(void)
{
	bad("{\"a\":1}", 0, "not an object", "a number for a tensor");
	bad("{\"a\":{}}", 0, "dtype", "nothing about a tensor");
	bad("{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype",
	    "no dtype");
	bad("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "shape",
	    "no shape");
	bad("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "data_offsets",
	    "no offsets");
	bad("{" T("a", "F31", "[1]", 0, 4) "}", 4, "dtype", "unknown dtype");
	bad("{" T("a", "f32", "[1]", 0, 4) "}", 4, "dtype", "dtype in small");
	bad("{" T("a", "U8", "[-1]", 0, 1) "}", 1, "shape", "negative shape");
	bad("{" T("a", "U8", "[1.0]", 0, 1) "}", 1, "shape", "real shape");
	bad("{" T("a", "U8", "[1e0]", 0, 1) "}", 1, "shape", "exponent");
	bad("{" T("a", "U8", "[\"1\"]", 0, 1) "}", 1, "shape", "text shape");
	bad("{" T("a", "U8", "1", 0, 1) "}", 1, "shape", "shape no array");
	bad("{" T("a", "U8", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1, "dimensions",
	    "nine dimensions");
	bad("{" T("a", "U8", "[1]", 1, 0) "}", 1, "data_offsets",
	    "end before begin");
	bad("{" T("a", "U8", "[1]", -1, 0) "}", 1, "data_offsets",
	    "negative begin");
	bad("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1,
	    "data_offsets", "one offset");
	bad("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}",
	    1, "data_offsets", "three offsets");
	bad("{" T("a", "F32", "[2]", 0, 4) "}", 4, "do not hold",
	    "too small for the shape");
	bad("{" T("a", "F32", "[1]", 0, 8) "}", 8, "do not hold",
	    "too large for the shape");
}

static void test_layout(void)
{
	bad("{" T("a", "U8", "[9223372036854775807,4]", 0, 4) "}", 4,
	    "overflow", "elements overflow");
	bad("{" T("a", "F64", "[4611686018427387904]", 0, 0) "}", 0, "overflow",
	    "bytes overflow");
	bad("{" T("a", "U8", "[9223372036854775807,4,0]", 0, 0) "}", 0,
	    "overflow", "overflow hidden by a zero");
	bad("{" T("a", "U8", "[18446744073709551616]", 0, 0) "}", 0, "shape",
	    "more than 64 bits");
	bad("{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 2, 6) "}", 6,
	    "overlap", "overlap");
	bad("{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 0, 4) "}", 4,
	    "overlap", "the same bytes twice");
	bad("{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 5, 9) "}", 9,
	    "hole", "a hole");
	bad("{" T("a", "U8", "[4]", 1, 5) "}", 5, "hole", "a hole first");
	bad("{" T("a", "U8", "[4]", 0, 4) "}", 3, "truncated", "data cut");
	bad("{" T("a", "U8", "[4]", 0, 4) "}", 5, "after the last",
	    "data left over");
	bad("{}", 1, "after the last", "data of no tensor");
	bad("{" T("a", "U8", "[0]", 7, 7) "," T("b", "U8", "[4]", 0, 4) "}", 4,
	    "hole", "an empty tensor out of place");
}

static void put(const char *path, const void *p, size_t n)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(p, 1, n, f) != n || fclose(f))
		CHECK(0, "cannot write %s", path);
}

static const char *at(const char *name)
{
	static char buf[2][128];
	static int k;

	k = !k;
	snprintf(buf[k], sizeof(buf[k]), "%s/%s", dir, name);
	return buf[k];
}

static void open_bytes(const void *p, size_t n, const char *word,
		       const char *what)
{
	struct ft_err err = {0};
	struct ft_st st;
	int rc;

	put(at("x.safetensors"), p, n);
	rc = ft_st_open(&st, at("x.safetensors"), &err);
	CHECK(rc < 0 && err.code == FT_EXIT_DATA && strstr(err.msg, word) &&
		      strstr(err.where, "x.safetensors"),
	      "%s: %s", what, err.msg);
	if (rc == 0)
		ft_st_release(&st);
}

static void test_files(void)
{
	static const unsigned char all[] =
		"\x40\0\0\0\0\0\0\0"
		"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"
		"          \0\0\x80\x3f";
	struct ft_err err = {0};
	struct ft_st st;
	size_t n = 8 + 64 + 4;

	open_bytes(all, 0, "truncated", "an empty file");
	open_bytes(all, 7, "truncated", "seven bytes");
	open_bytes("\0\0\0\0\0\0\0\0", 8, "header of 0", "a header of 0 bytes");
	open_bytes("\x02\0\0\0\0\0\0\0", 8, "truncated", "no header");
	open_bytes("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "not a safe",
		   "a header length that wraps");
	open_bytes("\0\xe1\xf5\x06\0\0\0\0{}", 10, "not a safe",
		   "a header of 100000256 bytes");
	put(at("x.safetensors"), all, n);
	CHECK(ft_st_open(&st, at("x.safetensors"), &err) == 0, "the whole %s",
	      err.msg);
	CHECK(st.n == 1 && memcmp(st.t[0].data, "\0\0\x80\x3f", 4) == 0,
	      "its data");
	ft_st_release(&st);
	for (size_t k = 0; k < n; k++) {
		put(at("x.safetensors"), all, k);
		if (ft_st_open(&st, at("x.safetensors"), &err) == 0) {
			CHECK(0, "cut at %zu was accepted", k);
			ft_st_release(&st);
		}
	}
	CHECK(ft_st_open(&st, at("none"), &err) < 0 && err.code == FT_EXIT_SYS,
	      "no file: %s", err.msg);
	CHECK(ft_st_open(&st, dir, &err) < 0, "a directory: %s", err.msg);
	alarm(10);
	CHECK(mkfifo(at("fifo"), 0600) == 0 &&
		      ft_st_open(&st, at("fifo"), &err) < 0 &&
		      err.code == FT_EXIT_DATA && strstr(err.msg, "regular"),
	      "a fifo is not waited for: %s", err.msg);
	alarm(0);
	unlink(at("fifo"));
}

static int write_one(const char *path, const char *a, const char *b)
{
	struct ft_err err = {0};
	float x[6] = {1, 2, 3, 4, 5, 6};
	uint16_t h[3] = {7, 8, 9};
	struct ft_tensor t[] = {
		{.name = b,
		 .dtype = FT_BF16,
		 .ndim = 1,
		 .shape = {3},
		 .data = h},
		{.name = a,
		 .dtype = FT_F32,
		 .ndim = 2,
		 .shape = {2, 3},
		 .data = x},
	};
	struct ft_meta meta[] = {{"format", "pt"}, {"quo\"te", "\n"}};

	return ft_st_write(path, b ? t : t + 1, b ? 2 : 1, meta, 2, &err);
}

static void test_write(void)
{
	struct ft_err err = {0};
	struct ft_str hdr = {0};
	struct ft_st st;
	const struct ft_tensor *t;
	struct stat sb;
	struct ft_tensor twice[2] = {{.name = "a"}, {.name = "a"}};
	struct ft_tensor meta = {.name = "__metadata__"};
	struct ft_tensor huge = {.name = "h",
				 .dtype = FT_F64,
				 .ndim = 2,
				 .shape = {1ull << 40, 1ull << 40}};

	umask(027);
	CHECK(write_one(at("w.safetensors"), "zz", "b") == 0, "write");
	CHECK(stat(at("w.safetensors"), &sb) == 0 &&
		      (sb.st_mode & 0777) == 0640,
	      "mode as umask says");
	CHECK(ft_st_open(&st, at("w.safetensors"), &err) == 0, "reopen %s",
	      err.msg);
	t = ft_st_find(&st, "zz");
	CHECK(t && t->dtype == FT_F32 && t->ndim == 2 && t->shape[1] == 3 &&
		      t->offset == 0 && ((const float *)t->data)[5] == 6,
	      "the wider one comes first");
	CHECK(t && (uintptr_t)t->data % 64 == 0, "aligned to 64");
	t = ft_st_find(&st, "b");
	CHECK(t && t->numel == 3 && t->nbytes == 6 && t->offset == 24,
	      "the other after it");
	CHECK(!ft_st_find(&st, "c"), "one that is not there");
	CHECK(strcmp(st.t[0].name, "b") == 0, "files are sorted by name");
	CHECK(ft_st_meta(&st, "format") &&
		      strcmp(ft_st_meta(&st, "quo\"te"), "\n") == 0,
	      "metadata");
	ft_st_release(&st);
	CHECK(ft_st_write(at("e.safetensors"), NULL, 0, NULL, 0, &err) == 0 &&
		      ft_st_open(&st, at("e.safetensors"), &err) == 0 &&
		      st.n == 0,
	      "a file of nothing");
	ft_st_release(&st);
	CHECK(ft_st_header(twice, 2, NULL, 0, 0, 8, &hdr, &err) < 0,
	      "a name twice: %s", err.msg);
	CHECK(ft_st_header(&meta, 1, NULL, 0, 0, 8, &hdr, &err) < 0,
	      "a reserved name: %s", err.msg);
	CHECK(ft_st_header(&huge, 1, NULL, 0, 0, 8, &hdr, &err) < 0,
	      "too large: %s", err.msg);
	for (uint64_t start = 0; start < 9; start++) {
		ft_str_clear(&hdr);
		if (ft_st_header(NULL, 0, NULL, 0, start, 8, &hdr, &err) < 0 ||
		    (start + hdr.n) % 8)
			CHECK(0, "padding from %d", (int)start);
	}
	ft_str_release(&hdr);
}

static void index_is(const char *json, const char *word, const char *what)
{
	struct ft_err err = {0};
	struct ft_st st;
	int rc;

	put(at("model.safetensors.index.json"), json, strlen(json));
	rc = ft_st_open_dir(&st, dir, &err);
	if (word)
		CHECK(rc < 0 && err.code == FT_EXIT_DATA &&
			      strstr(err.msg, word),
		      "%s: %s: %s", what, err.where, err.msg);
	else
		CHECK(rc == 0 && st.n == 4 && st.nmap == 2 &&
			      ft_st_find(&st, "d") && ft_st_find(&st, "a"),
		      "%s %s", what, err.msg);
	if (rc == 0)
		ft_st_release(&st);
}

#define S1 "m-1.safetensors"
#define S2 "m-2.safetensors"
#define INDEX(a, b, c, d)                                             \
	"{\"weight_map\":{\"a\":\"" a "\",\"b\":\"" b "\",\"c\":\"" c \
	"\",\"d\":\"" d "\"}}"

static void test_shards(void)
{
	struct ft_err err = {0};
	struct ft_st st;

	CHECK(ft_st_open_dir(&st, dir, &err) < 0 && err.code == FT_EXIT_SYS,
	      "no model there: %s: %s", err.where, err.msg);
	write_one(at(S1), "a", "b");
	write_one(at(S2), "c", "d");
	index_is(INDEX(S1, S1, S2, S2), NULL, "two shards");
	index_is(INDEX(S1, S1, S2, S1), "'d'", "a tensor in the other shard");
	index_is("{\"weight_map\":{\"a\":\"" S1 "\",\"b\":\"" S1
		 "\",\"c\":\"" S2 "\"}}",
		 "'d'", "a tensor that the index lacks");
	index_is("{\"weight_map\":{\"a\":\"" S1 "\",\"b\":\"" S1
		 "\",\"bb\":\"" S1 "\"}}",
		 "'bb' is missing", "a tensor that no shard has");
	index_is(INDEX(S1, S1, "../" S2, S2), "plain name", "a path upwards");
	index_is(INDEX(S1, S1, "/etc/" S2, S2), "plain name",
		 "an absolute path");
	index_is(INDEX(S1, S1, "s/" S2, S2), "plain name", "a folder");
	index_is(INDEX(S1, S1, "..", S2), "plain name", "dots");
	index_is(INDEX(S1, S1, "", S2), "plain name", "nothing");
	index_is(INDEX(S1, S1, "m-2.bin", S2), "plain name", "a pickle");
	index_is("{\"weight_map\":{\"a\":1}}", "plain name", "a number");
	index_is("{\"weight_map\":{\"a\":\"m\\u0000.safetensors\"}}",
		 "plain name", "a NUL");
	index_is("{\"weight_map\":{\"a\":\"" S1 "\",\"a\":\"" S2 "\"}}", "",
		 "a tensor twice in the index");
	index_is("{\"weight_map\":{}}", "weight_map", "an empty map");
	index_is("{}", "weight_map", "no map");
	index_is("{\"weight_map\":", "", "torn");
	write_one(at(S2), "c", "a");
	index_is(INDEX(S1, S1, S2, S2), "'a'", "a tensor in two shards");
	write_one(at("model.safetensors"), "q", NULL);
	CHECK(ft_st_open_dir(&st, dir, &err) == 0 && st.n == 1 &&
		      ft_st_find(&st, "q"),
	      "a single file comes before an index");
	ft_st_release(&st);
}

/* IEEE half to single by its definition. */
static float half(uint16_t h)
{
	int e = h >> 10 & 31, m = h & 1023;
	float v = e == 31  ? (m ? NAN : INFINITY)
		  : e == 0 ? ldexpf((float)m, -24)
			   : ldexpf((float)(1024 + m), e - 25);

	return h & 0x8000 ? -v : v;
}

static bool same(float a, float b)
{
	return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof(a)) == 0;
}

static void test_convert(void)
{
	static uint16_t h[65536 + 1];
	static float f[65536];
	double d[3] = {1.5, -1e300, 1e-60};
	float back[3], x;
	uint32_t u;
	int wrong = 0;

	for (int i = 0; i < 65536; i++)
		h[i] = (uint16_t)i;
	CHECK(ft_to_f32(f, h, FT_F16, 65536) == 0, "F16");
	for (int i = 0; i < 65536; i++)
		wrong += !same(f[i], half((uint16_t)i)) ||
			 !signbit(f[i]) != !(i >> 15);
	CHECK(wrong == 0, "every half: %d wrong", wrong);
	ft_to_f32(f, h, FT_BF16, 65536);
	for (int i = wrong = 0; i < 65536; i++)
		wrong += !isnan(f[i]) && ft_bf16(f[i]) != i;
	CHECK(wrong == 0, "every bfloat16 and back: %d wrong", wrong);
	for (size_t n = 0; n < 200; n++) {
		memset(f, 0, sizeof(f));
		ft_to_f32(f, h + 0x3c00, FT_F16, n);
		wrong += f[n] != 0 ||
			 (n &&
			  !same(f[n - 1], half((uint16_t)(0x3c00 + n - 1))));
	}
	CHECK(wrong == 0, "lengths that fill no block");
	CHECK(ft_to_f32(back, d, FT_F64, 3) == 0 && back[0] == 1.5f &&
		      isinf(back[1]) && back[2] == 0,
	      "F64");
	CHECK(ft_to_f32(back, d, FT_I64, 1) < 0, "integers are refused");
	CHECK(ft_bf16(1.00390625f) == 0x3f80 && ft_bf16(1.01171875f) == 0x3f82,
	      "ties go to even");
	u = 0x7f800001;
	memcpy(&x, &u, 4);
	CHECK((ft_bf16(x) & 0x7fff) > 0x7f80, "a NaN stays one");
	CHECK(ft_bf16(3.4028235e38f) == 0x7f80, "the largest rounds up");
}

int main(void)
{
	char cmd[64];

	if (!mkdtemp(dir))
		return 1;
	test_good();
	test_json();
	test_info();
	test_layout();
	test_files();
	test_write();
	test_shards();
	test_convert();
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	CHECK(system(cmd) == 0, "clean up");
	return test_done();
}
