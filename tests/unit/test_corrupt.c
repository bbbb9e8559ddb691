/* SPDX-License-Identifier: MIT */
#include "libcommon/text/corrupt.h"

#include <string.h>

#include "libcommon/text/dart.h"
#include "tests/lib/test.h"

static struct ft_corruptor *c;
static struct ft_str out;

/* The text spoilt in that way, or "" when there is no such way. */
static const char *spoil(const char *s, enum ft_corruption kind, size_t way)
{
	ft_str_clear(&out);
	ft_corruptor_set(c, s, strlen(s));
	if (way < ft_corruptor_ways(c, kind))
		ft_corruptor_make(c, kind, way, &out);
	return ft_str_cstr(&out);
}

static size_t ways(const char *s, enum ft_corruption kind)
{
	ft_corruptor_set(c, s, strlen(s));
	return ft_corruptor_ways(c, kind);
}

struct one {
	enum ft_corruption kind;
	const char *from, *to; /* the only way, or "" for none */
};

static const struct one ones[] = {
	/* imports */
	{FT_CORRUPT_IMPORT, "// a\nimport 'a.dart' show B;\n\nmain() {}\n",
	 "// a\n\nmain() {}\n"},
	{FT_CORRUPT_IMPORT, "final import = \"import 'x';\";", ""},
	/* properties */
	{FT_CORRUPT_PROPERTY, "Center(child: Text('child: a'))",
	 "Center(children: Text('child: a'))"},
	{FT_CORRUPT_PROPERTY, "f(child: a)", ""},
	{FT_CORRUPT_PROPERTY, "Scaffold(body: x ? body : y)",
	 "Scaffold(content: x ? body : y)"},
	{FT_CORRUPT_PROPERTY, "ListView.separated(separatorBuilder: f)",
	 "ListView.separated(dividerBuilder: f)"},
	{FT_CORRUPT_PROPERTY, "BlocProvider<A>(create: f)",
	 "BlocProvider<A>(builder: f)"},
	{FT_CORRUPT_PROPERTY, "Other(create: f)", ""},
	/* deprecated */
	{FT_CORRUPT_API,
	 "TextButton(a); find.byType(TextButton); // TextButton\n",
	 "FlatButton(a); find.byType(FlatButton); // TextButton\n"},
	{FT_CORRUPT_API, "Theme.of(context).textTheme.titleLarge",
	 "Theme.of(context).textTheme.headline6"},
	{FT_CORRUPT_API, "c.withValues(alpha: 0.5)", "c.withOpacity(0.5)"},
	{FT_CORRUPT_API,
	 "PopScope(\n  canPop: false,\n  onPopInvokedWithResult: f,\n)",
	 "WillPopScope(\n  onWillPop: f,\n)"},
	{FT_CORRUPT_API, "Other(canPop: false, onPopInvoked: f)", ""},
	{FT_CORRUPT_API,
	 "NavigationBar(destinations: [NavigationDestination(label: a)])",
	 "BottomNavigationBar(items: [BottomNavigationBarItem(label: a)])"},
	{FT_CORRUPT_API, "Theme.of(c).colorScheme.surface",
	 "Theme.of(c).colorScheme.background"},
	{FT_CORRUPT_API, "Theme.of(c).colorScheme.secondary",
	 "Theme.of(c).accentColor"},
	{FT_CORRUPT_API, "MediaQuery.sizeOf(context).width",
	 "MediaQuery.of(context).size.width"},
	{FT_CORRUPT_API,
	 "T(colorScheme: ColorScheme.fromSeed(seedColor: Colors.teal), a: b)",
	 "T(primarySwatch: Colors.teal, a: b)"},
	{FT_CORRUPT_API, "WidgetStateProperty.all(a)",
	 "MaterialStateProperty.all(a)"},
	{FT_CORRUPT_API, "ScaffoldMessenger.of(context).showSnackBar(s)",
	 "Scaffold.of(context).showSnackBar(s)"},
	{FT_CORRUPT_API, "'ElevatedButton'", ""},
	/* members */
	{FT_CORRUPT_MEMBER,
	 "class A {\n  int unused = 0;\n\n  /// used\n  int used = 0; // too\n\n  void f() => used;\n}\n",
	 "class A {\n  int unused = 0;\n\n  void f() => used;\n}\n"},
	{FT_CORRUPT_MEMBER,
	 "class A {\n  A(this.z);\n\n  @override\n  int get y {\n    return 1;\n  }\n}\n",
	 "class A {\n  A(this.z);\n}\n"},
	{FT_CORRUPT_MEMBER, "class A { int x; int y() => x; }",
	 "class A {  int y() => x; }"},
	{FT_CORRUPT_MEMBER, "class A { int x", ""},
	/* state */
	{FT_CORRUPT_STATE,
	 "{\n  setState(() {\n    a++;\n    if (b) {\n      c();\n    }\n  });\n}",
	 "{\n  a++;\n  if (b) {\n    c();\n  }\n}"},
	{FT_CORRUPT_STATE, "f() => x; setState(() => a = b);",
	 "f() => x; a = b;"},
	{FT_CORRUPT_STATE, "a();\n  notifyListeners();\n  b();\n",
	 "a();\n  b();\n"},
	{FT_CORRUPT_STATE, "emit(state.copyWith(a: [1, 2]));", "emit(state);"},
	{FT_CORRUPT_STATE, "emit(state.copyWith(a: 1).b());", ""},
	{FT_CORRUPT_STATE, "state = state.copyWith(a: 1);",
	 "state.copyWith(a: 1);"},
	{FT_CORRUPT_STATE, "state = [...state, Todo(a, b)];",
	 "state.add(Todo(a, b));"},
	{FT_CORRUPT_STATE, "f(x: [...state.items, y,])",
	 "f(x: state.items..add(y))"},
	{FT_CORRUPT_STATE, "[...a, ...b]", ""},
	{FT_CORRUPT_STATE, "[...a, b, c]", ""},
	{FT_CORRUPT_STATE, "[...a, if (b) c]", ""},
	{FT_CORRUPT_STATE, "final x = ref.watch(p);", "final x = ref.read(p);"},
	{FT_CORRUPT_STATE, "await f();\nif (!context.mounted) return;\ng();",
	 "await f();\ng();"},
	{FT_CORRUPT_STATE, "'notifyListeners();'", ""},
};

static void test_ones(void)
{
	for (size_t i = 0; i < sizeof(ones) / sizeof(*ones); i++) {
		const struct one *t = &ones[i];
		const char *got = spoil(t->from, t->kind, 0);

		CHECK(!strcmp(got, t->to), "%s %zu",
		      ft_corruption_names[t->kind], i);
		if (strcmp(got, t->to) != 0)
			printf("# got: %s\n", got);
		CHECK(ways(t->from, t->kind) == (*t->to ? 1 : 0) ||
			      t->kind == FT_CORRUPT_PROPERTY,
		      "and no other way");
	}
}

static void test_bracket(void)
{
	const char *s = "f(\n  a(b),\n  [\n    c,\n  ],\n);\n";

	CHECK(ways(s, FT_CORRUPT_BRACKET) == 6, "two ways a closing bracket");
	CHECK(!strcmp(spoil(s, FT_CORRUPT_BRACKET, 0),
		      "f(\n  a(b,\n  [\n    c,\n  ],\n);\n"),
	      "one is gone");
	CHECK(!strcmp(spoil(s, FT_CORRUPT_BRACKET, 1),
		      "f(\n  a(b)),\n  [\n    c,\n  ],\n);\n"),
	      "one stands twice");
	CHECK(!strcmp(spoil(s, FT_CORRUPT_BRACKET, 2),
		      "f(\n  a(b),\n  [\n    c,\n);\n"),
	      "one is gone with its line");
	CHECK(ways("f(')'", FT_CORRUPT_BRACKET) == 0,
	      "nothing is done to what is broken");
}

/* Every way differs from the text, and only a bracket unbalances it. */
static void test_all(void)
{
	static const char code[] =
		"import 'package:flutter/material.dart';\n"
		"import 'a.dart';\n\n"
		"class A extends State<B> {\n"
		"  final _items = <int>[];\n"
		"  int _n = 0;\n\n"
		"  void _add(int x) {\n"
		"    setState(() {\n      _items.add(x);\n      _n++;\n    });\n"
		"    setState(() => _n++);\n"
		"  }\n\n"
		"  @override\n"
		"  Widget build(BuildContext context) {\n"
		"    return Scaffold(\n"
		"      appBar: AppBar(title: Text('$_n (${_items.length})')),\n"
		"      body: ElevatedButton(\n"
		"        onPressed: () => _add(1),\n"
		"        child: Text('a', style: "
		"Theme.of(context).textTheme.bodyMedium),\n"
		"      ),\n"
		"    );\n"
		"  }\n"
		"}\n";
	struct ft_dart d = {0};

	for (int k = 0; k < FT_NCORRUPT; k++) {
		size_t n = ways(code, (enum ft_corruption)k), bad = 0;

		CHECK(n > 0, "%s applies", ft_corruption_names[k]);
		for (size_t i = 0; i < n; i++) {
			spoil(code, (enum ft_corruption)k, i);
			ft_dart_lex(&d, out.s, out.n);
			bad += !strcmp(out.s, code) || !d.whole ||
			       d.balanced != (k != FT_CORRUPT_BRACKET);
		}
		CHECK(bad == 0, "all %zu ways are what they say", n);
	}
	ft_dart_release(&d);
}

int main(void)
{
	c = ft_corruptor_new();
	test_ones();
	test_bracket();
	test_all();
	ft_corruptor_free(c);
	ft_str_release(&out);
	return test_done();
}
