/* SPDX-License-Identifier: MIT */
#include "libcommon/text/dart.h"

#include <string.h>

#include "tests/lib/test.h"

static struct ft_dart d;

static void lex(const char *s)
{
	ft_dart_lex(&d, s, strlen(s));
}

static size_t count(enum ft_dart_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < d.n; i++)
		n += d.t[i].kind == kind;
	return n;
}

static void test_literals(void)
{
	lex("f('a(', \"b[\", '''c'\n{''', r'\\', r\"${\", '$x', '${y}')");
	CHECK(d.whole && d.balanced, "brackets in strings are none");
	CHECK(count(FT_DART_STRING) == 7, "seven strings");
	lex("'a ${f('b ${g(\"}\")} c', {1: '''}'''})} d' + 'e'");
	CHECK(d.whole && d.n == 3, "strings in interpolations in strings");
	lex("'a ${ /* } */ x // }\n } b';");
	CHECK(d.whole && d.n == 2, "comments in an interpolation");
	lex("'it\\'s' \"\\\"\" '\\\\'");
	CHECK(d.whole && d.n == 3, "escaped quotes");
	lex("/* a /* ( */ ( */ x // ( {\n/// '\ny");
	CHECK(d.whole && d.balanced && d.n == 2, "comments nest and hide");
	lex("bar'x'");
	CHECK(d.n == 2 && d.t[0].n == 3, "r is raw only when it stands alone");
	lex("a 1.5e3 0xff 1..x _b $c");
	CHECK(d.n == 9 && d.t[1].n == 5, "numbers, cascades, names");
}

static void test_torn(void)
{
	static const char *const torn[] = {
		"'abc", "'abc\n'", "\"\"\"abc\"\"", "/* a", "'${a", "'a\\",
		"r'",   "'${'",    "'${'${'",       "/*/",  "'''",
	};

	for (size_t i = 0; i < sizeof(torn) / sizeof(*torn); i++) {
		lex(torn[i]);
		CHECK(!d.whole, "torn %zu", i);
	}
	lex("");
	CHECK(d.whole && d.balanced && d.n == 0, "nothing");
	lex("f(a]");
	CHECK(!d.balanced, "the wrong bracket");
	lex("f(a");
	CHECK(!d.balanced, "one that is open");
	lex("a}");
	CHECK(!d.balanced, "one that closes nothing");
}

static void test_brackets(void)
{
	lex("a(b[c]{d})");
	CHECK(d.t[1].match == 9 && d.t[9].match == 1, "a pair");
	CHECK(d.t[4].up == 3 && d.t[3].up == 1 && d.t[1].up == FT_DART_NONE,
	      "what is around a token");
	CHECK(d.t[9].up == FT_DART_NONE, "and around a closing bracket");
}

static bool member_is(struct ft_dart_walk *w, const char *name,
		      struct ft_dart_member *m)
{
	if (!ft_dart_member(&d, w, m))
		return false;
	return ft_dart_is(&d, m->name, name);
}

static void test_members(void)
{
	struct ft_dart_walk w = {0};
	struct ft_dart_member m;

	lex("import 'a.dart';\n"
	    "void main() { class_(); }\n"
	    "class A<T> extends B<List<T>> with C {\n"
	    "  const A({super.key, this.x = const {}});\n"
	    "  A.named() : x = {1: {}}, super() { f(); }\n"
	    "  factory A.fromJson(Map<String, dynamic> j) => A();\n"
	    "  final Map<String, int> x;\n"
	    "  static const y = {'a': {}}, z = 1;\n"
	    "  final void Function(int a)? onTap;\n"
	    "  @override\n"
	    "  @pragma('vm:prefer-inline', 1)\n"
	    "  Widget build(BuildContext c) { if (a) { return b; } }\n"
	    "  R pick<R extends Object>(R Function() f) async { return f(); }\n"
	    "  bool operator ==(Object o) => o is A && switch (o) { _ => 1 };\n"
	    "  int get n => 1;\n"
	    "  set n(int v) {}\n"
	    "  A copy() => this;\n"
	    "}\n"
	    "mixin class E {}\n"
	    "enum F { a(1), b(2); const F(this.v); final int v; }\n"
	    "enum G { a, b }\n"
	    "extension on String { int get twice => 2; }\n"
	    "extension type H(int i) { int get j => i; }\n");
	CHECK(d.whole && d.balanced, "the classes parse");
	CHECK(member_is(&w, "A", &m) && m.is_constructor, "constructor");
	CHECK(member_is(&w, "A", &m) && m.is_constructor &&
		      ft_dart_is(&d, m.last, "}"),
	      "constructor with initialisers and a body");
	CHECK(member_is(&w, "A", &m) && m.is_constructor, "factory");
	CHECK(member_is(&w, "x", &m) && !m.is_constructor &&
		      ft_dart_is(&d, m.last, ";"),
	      "field of a generic type");
	CHECK(member_is(&w, "y", &m) && ft_dart_is(&d, m.last, ";"),
	      "field with a literal");
	CHECK(member_is(&w, "onTap", &m), "field of function type");
	CHECK(member_is(&w, "build", &m) && m.is_override &&
		      ft_dart_is(&d, m.first, "@") &&
		      ft_dart_is(&d, m.last, "}"),
	      "method with its annotations");
	CHECK(member_is(&w, "pick", &m) && !m.is_override, "generic method");
	CHECK(member_is(&w, "operator", &m) && ft_dart_is(&d, m.last, ";"),
	      "operator");
	CHECK(member_is(&w, "n", &m) && member_is(&w, "n", &m),
	      "getter and setter");
	CHECK(member_is(&w, "copy", &m) && !m.is_constructor,
	      "a method that returns its class");
	CHECK(member_is(&w, "F", &m) && m.is_constructor &&
		      member_is(&w, "v", &m),
	      "members of an enum come after its values");
	CHECK(member_is(&w, "twice", &m) && member_is(&w, "j", &m),
	      "members of extensions");
	CHECK(!ft_dart_member(&d, &w, &m), "and no more");
}

int main(void)
{
	test_literals();
	test_torn();
	test_brackets();
	test_members();
	ft_dart_release(&d);
	return test_done();
}
