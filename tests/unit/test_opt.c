/* SPDX-License-Identifier: MIT */
#include "libcommon/base/opt.h"

#include <string.h>

#include "libcommon/base/die.h"
#include "libcommon/base/str.h"
#include "tests/lib/child.h"
#include "tests/lib/test.h"

static struct {
	bool full, given;
	int64_t r, seed;
	double lr;
	const char *out, *model;
	struct ft_opt_list files;
	int loss;
} c;

static const struct ft_opt group[] = {
	FT_INT(0, "lora-r", &c.r, 1, 1024, "N", "rank of the adapter"),
	FT_REAL(0, "learning-rate", &c.lr, 0, 1, "X", "highest learning rate"),
	FT_END,
};
static struct ft_opt opts[] = {
	FT_STR_FREE('o', "output", &c.out, "FILE", "write to FILE"),
	FT_STR('m', "model", &c.model, "DIR", "the model"),
	FT_FLAG('f', "full", &c.full, "train all weights"),
	FT_GROUP(group),
	FT_INT(0, "seed", &c.seed, INT64_MIN, INT64_MAX, "N", "seed"),
	FT_LIST('a', "adapter", &c.files, "DIR", "adapters to merge"),
	FT_ENUM(0, "loss-type", &c.loss, "sigmoid|ipo|hinge", "the loss"),
	{0,
	 "secret",
	 FT_KIND_FLAG,
	 {.flag = &c.given},
	 0,
	 0,
	 0,
	 "",
	 FT_OPT_HIDDEN,
	 0},
	FT_END,
};

static void reset(void)
{
	free((void *)c.files.v);
	memset(&c, 0, sizeof(c));
	c.r = 16;
	c.lr = 2e-4;
	ft_verbosity = 0;
}

/* args is split at spaces. */
static int parse(char *args, char **argv)
{
	int argc = 1;
	char *save = NULL;

	argv[0] = args; /* not looked at */
	for (char *s = strtok_r(args, " ", &save); s;
	     s = strtok_r(NULL, " ", &save))
		argv[argc++] = s;
	argv[argc] = NULL;
	return ft_opt_parse(argc, argv, opts, "[OPTIONS] [FILE...]",
			    "Trains nothing.");
}

static void child_main(void *arg)
{
	static char buf[512];
	char *argv[64];

	ft_start("/usr/bin/ft-x");
	snprintf(buf, sizeof(buf), "%s", (const char *)arg);
	parse(buf, argv);
}

/* What a bad command line says. */
static const char *says(const char *args, struct child *ch)
{
	reset();
	child_run(ch, child_main, (void *)(uintptr_t)args);
	return ch->err;
}

static void test_good(void)
{
	char *argv[64], args[] = "a -o x -fqv --lora_r=7 b "
				 "--learning-rate 1e-4 --adapter p --loss_type "
				 "ipo -aq --model=a=b -- -f --seed";
	int i;

	reset();
	opts[2].given = &c.given;
	i = parse(args, argv);
	CHECK(argv[i] && !strcmp(argv[i], "a"), "operands move to the end");
	CHECK(!strcmp(argv[i + 1], "b") && !strcmp(argv[i + 2], "-f") &&
		      !strcmp(argv[i + 3], "--seed") && !argv[i + 4],
	      "-- ends the options");
	CHECK(c.out && !strcmp(c.out, "x"), "-o x");
	CHECK(c.full && c.given, "a bundled flag, and that it was given");
	CHECK(c.r == 7, "_ and - are alike, a value behind =");
	CHECK(c.lr == 1e-4, "a real");
	CHECK(c.files.n == 2 && !strcmp(c.files.v[0], "p") &&
		      !strcmp(c.files.v[1], "q"),
	      "a list, and a value joined to its letter");
	CHECK(c.loss == 1, "a word");
	CHECK(!strcmp(c.model, "a=b"), "only the first = counts");
	CHECK(ft_verbosity == -1, "-q goes before -v");
	opts[2].given = NULL;
}

static void test_more(void)
{
	char *argv[64];
	char a1[] = "--full --full=false", a2[] = "--full=1 -", a3[] = "";
	char a4[] = "--seed -9223372036854775808", a5[] = "--seed=-5 -v";
	char a6[] = "-ox -o y";

	reset();
	parse(a1, argv);
	CHECK(!c.full, "--flag=false unsets");
	reset();
	CHECK(parse(a2, argv) == 2 && c.full && !strcmp(argv[2], "-"),
	      "- is an operand");
	CHECK(parse(a3, argv) == 1, "nothing");
	reset();
	parse(a4, argv);
	CHECK(c.seed == INT64_MIN, "the smallest integer");
	reset();
	parse(a5, argv);
	CHECK(c.seed == -5 && ft_verbosity == 1, "a negative number");
	reset();
	parse(a6, argv);
	CHECK(!strcmp(c.out, "y"), "the last one counts");
	reset();
}

static void test_bad(void)
{
	static const struct {
		const char *args, *says;
	} bad[] = {
		{"--learnin-rate 1",
		 "unknown option '--learnin-rate'; did you mean '--learning-rate'?"},
		{"--learnin_rate=1",
		 "unknown option '--learnin_rate'; did you mean '--learning-rate'?"},
		{"--lora", "unknown option '--lora'; did you mean '--lora-r'?"},
		{"--zzzzzzzzz", "unknown option '--zzzzzzzzz'; try --help"},
		{"--verb",
		 "unknown option '--verb'; did you mean '--verbose'?"},
		{"--loss-typ ipo", "did you mean '--loss-type'?"},
		{"-z", "unknown option '-z'; try --help"},
		{"-fz", "unknown option '-z'; try --help"},
		{"--lora-r", "option '--lora-r' needs an argument"},
		{"-o", "option '-o' needs an argument"},
		{"--lora-r 0",
		 "invalid value '0' for --lora-r: must be between 1 and 1024"},
		{"--lora-r 1e2",
		 "invalid value '1e2' for --lora-r: not a decimal integer"},
		{"--lora-r 0x10", "not a decimal integer"},
		{"--lora-r=", "invalid value '' for --lora-r"},
		{"--lora-r=+3", "not a decimal integer"},
		{"--seed 9223372036854775808", "too large"},
		{"--learning-rate nan", "not a decimal number"},
		{"--learning-rate 1x", "not a decimal number"},
		{"--learning-rate .", "not a decimal number"},
		{"--learning-rate 1e", "not a decimal number"},
		{"--learning-rate 2", "must be between 0 and 1"},
		{"--learning-rate 1e999", "must be between 0 and 1"},
		{"--loss-type kto",
		 "invalid value 'kto' for --loss-type: not one of sigmoid|ipo|hinge"},
		{"--loss-type ip", "not one of"},
		{"--full=maybe",
		 "invalid value 'maybe' for --full: not true or false"},
	};
	struct child ch;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		says(bad[i].args, &ch);
		CHECK(ch.status == 2 && !ch.out[0] &&
			      strstr(ch.err, bad[i].says) &&
			      ft_starts(ch.err, "ft-x: ") &&
			      strchr(ch.err, '\n')[1] == 0,
		      "%s", bad[i].args);
	}
	says("--json-errors --zzzzzzzzz", &ch);
	CHECK(!strcmp(ch.err, "{\"tool\":\"ft-x\",\"file\":null,\"line\":null,"
			      "\"message\":\"unknown option '--zzzzzzzzz'; try "
			      "--help\",\"status\":2}\n"),
	      "a message as JSON");
}

static void test_help(void)
{
	struct child ch;

	says("--help", &ch);
	CHECK(ch.status == 0 && !ch.err[0], "--help is status 0");
	CHECK(ft_starts(ch.out, "usage: ft-x [OPTIONS] [FILE...]\n\nTrains "
				"nothing.\n"),
	      "usage and what it is about");
	CHECK(strstr(ch.out, "\n  -o, --output FILE           write to FILE\n"),
	      "an aligned row");
	CHECK(strstr(ch.out, "--lora-r N              rank of the adapter "
			     "[16]\n"),
	      "a default");
	CHECK(strstr(ch.out, "[0.0002]") && strstr(ch.out, "[sigmoid]"),
	      "defaults of other kinds");
	CHECK(strstr(ch.out, "--json-errors") && !strstr(ch.out, "secret") &&
		      !strstr(ch.out, "dump-options"),
	      "common rows, no hidden ones");
	says("--version", &ch);
	CHECK(ch.status == 0 && ft_starts(ch.out, "ft-x 0.1.0 ("), "--version");
	says("--dump-options", &ch);
	CHECK(ch.status == 0 &&
		      !strcmp(ch.out, "o\toutput\tFILE\nm\tmodel\tDIR\n"
				      "f\tfull\t\n\tlora-r\tN\n"
				      "\tlearning-rate\tX\n\tseed\tN\n"
				      "a\tadapter\tDIR\n"
				      "\tloss-type\tsigmoid|ipo|hinge\n"),
	      "--dump-options");
}

static void test_record(void)
{
	struct ft_str s = {0};
	char *argv[64], args[] = "-o x -m a\xFF\"b -a p -a q --learning-rate "
				 "0.1";

	reset();
	parse(args, argv);
	ft_opt_json(opts, &s);
	CHECK(!strcmp(s.s, "{\"adapter\":[\"p\",\"q\"],\"full\":false,"
			   "\"learning-rate\":0.1,\"lora-r\":16,\"loss-type\":"
			   "\"sigmoid\",\"model\":\"a\xEF\xBF\xBD\\\"b\","
			   "\"secret\":false,\"seed\":0}"),
	      "the record of options: %s", s.s);
	ft_str_release(&s);
	reset();
}

int main(void)
{
	test_good();
	test_more();
	test_bad();
	test_help();
	test_record();
	return test_done();
}
