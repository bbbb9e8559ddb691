/* SPDX-License-Identifier: MIT */
/*
 * Inside of the template interpreter.
 *
 *	text -> tokens (jinja_lex.c) -> tree (jinja_parse.c) -> checked names
 *	(jinja_scope.c) -> walk (jinja_exec.c, jinja_eval.c) -> text with marks
 *
 * Values are immutable but for namespaces, iterators and cyclers, and live in
 * the arena of one rendering.  Functions return 0, or -1 with the error set.
 */
#ifndef FT_TEXT_JINJA_PRIV_H
#define FT_TEXT_JINJA_PRIV_H

#include "libcommon/base/mem.h"
#include "libcommon/text/jinja.h"

/* --- tokens --------------------------------------------------------------- */

enum jtok {
	/* operators first: one character, or two */
	T_ADD,
	T_SUB,
	T_MUL,
	T_DIV,
	T_FLOORDIV,
	T_MOD,
	T_POW,
	T_TILDE,
	T_LBRACKET,
	T_RBRACKET,
	T_LPAREN,
	T_RPAREN,
	T_LBRACE,
	T_RBRACE,
	T_EQ,
	T_NE,
	T_GT,
	T_GE,
	T_LT,
	T_LE,
	T_ASSIGN,
	T_DOT,
	T_COLON,
	T_PIPE,
	T_COMMA,
	T_SEMICOLON,
	T_NAME,
	T_STRING,
	T_INT,
	T_FLOAT,
	T_DATA,
	T_PRINT_BEGIN,
	T_PRINT_END,
	T_TAG_BEGIN,
	T_TAG_END,
	T_EOF,
	/* only in the tree: comparisons by word */
	T_IN,
	T_NOT_IN,
};

struct jtoken {
	enum jtok kind;
	uint32_t line;
	const char *s; /* name, unescaped string, data */
	size_t n;
	int64_t i;
	double f;
};

struct jtokens {
	struct jtoken *v; /* malloc'ed */
	size_t n, cap;
};

/* Strings of the tokens live in a. */
int jinja_lex(struct ft_arena *a, const char *s, size_t n, struct jtokens *out,
	      struct ft_err *err);
const char *jinja_token_name(const struct jtoken *t, char buf[48]);
int jinja_bad(struct ft_err *err, uint32_t line, const char *fmt, ...)
	FT_PRINTF(3, 4);

/* --- values --------------------------------------------------------------- */

enum jtype {
	V_UNSET, /* a variable that shadows and has no value */
	V_UNDEF,
	V_NONE,
	V_BOOL,
	V_INT,
	V_BIG, /* an integer of the input beyond 64 bits: its digits */
	V_FLOAT,
	V_STR,
	V_LIST,
	V_TUPLE,
	V_DICT,
	V_RANGE,
	V_VIEW,
	V_ITER,
	V_NS,
	V_MACRO,
	V_FUNC,
	V_METHOD,
	V_LOOP,
	V_CYCLER,
	V_JOINER,
};

struct jstr {
	const char *s; /* NUL behind it */
	size_t n, chars;
	const unsigned char *m; /* [n], or NULL: all are mark */
	unsigned char mark;
	bool safe; /* Markup */
};

struct jval {
	enum jtype t;
	union {
		bool b;
		int64_t i;
		double f;
		const struct jstr *s;
		struct jlist *l; /* V_LIST, V_TUPLE */
		struct jdict *d; /* V_DICT, V_NS */
		struct jrange *r;
		struct jview *w;
		struct jiter *it;
		struct jmacro *m;
		struct jmethod *me;
		struct jloop *lo;
		struct jcycle *c; /* V_CYCLER, V_JOINER */
		const struct jbuiltin *fn;
		const char *why; /* V_UNDEF: what to say, or NULL */
	} u;
};

struct jlist {
	struct jval *v;
	size_t n, cap;
};
struct jdict {
	struct jval *k, *v;
	size_t n, cap;
};
struct jrange {
	int64_t start, stop, step;
	int64_t n;
};
struct jview {
	struct jdict *d;
	enum { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS } kind;
};
struct jcycle {
	struct jlist *items;
	const struct jstr *sep;
	size_t pos;
};
struct jmethod {
	struct jval self;
	const struct jbuiltin *fn;
};

/* Where a walk through something stands. */
struct jiter {
	enum {
		IT_LIST,
		IT_STR,
		IT_DICT,
		IT_VIEW,
		IT_RANGE,
		IT_EMPTY,
		IT_REVERSED, /* list, backwards; pos counts down */
		IT_LOOP_IF,  /* items for which a loop's condition holds */
		IT_MAP,      /* through a filter or to an attribute */
		IT_SELECT,   /* by a test */
		IT_UNIQUE,
		IT_ITEMS,
		IT_BATCH,
		IT_SLICE,
	} kind;
	struct jval of; /* what it walks through */
	size_t pos;
	int64_t i;
	bool begun, ended;
	struct jiter *from; /* of what it takes its items */
	/* of the lazy ones */
	struct jval attr, fallback;
	const struct jbuiltin *fn;
	struct jargs *args;
	bool negate, by_attr, has_fallback, fold;
	struct jlist *seen;
	const struct jnode *node;
	struct jscope *scope;
};

struct jloop {
	struct jval of;
	struct jiter *it;
	struct jval after, current, before, changed;
	bool has_after, ended, has_changed;
	int64_t index0, length; /* length -1: not counted */
	int depth0;
	const struct jnode *node; /* of a recursive loop */
	struct jscope *scope;     /* around it */
};

/* Arguments of a call. */
struct jargs {
	struct jval *v;
	size_t n, cap;
	const struct jstr **key; /* by name */
	struct jval *kv;
	size_t nk, capk;
};

/* --- the tree ------------------------------------------------------------- */

enum jkind {
	/* expressions */
	N_CONST,
	N_NAME,
	N_LIST,  /* list */
	N_TUPLE, /* list */
	N_DICT,  /* list: key, value, key, ... */
	N_COND,  /* a if b else c (may be NULL) */
	N_OR,
	N_AND,
	N_NOT,
	N_COMPARE, /* a, list of operands with op */
	N_BINARY,  /* a op b */
	N_CONCAT,  /* list */
	N_NEG,
	N_POS,
	N_ATTR,   /* a . name */
	N_ITEM,   /* a [b] */
	N_SLICE,  /* a [b:c:d] */
	N_CALL,   /* a (list, kw, star, star2) */
	N_FILTER, /* a | fn (list, kw, ...); a NULL: of a block */
	N_TEST,
	N_NSREF, /* name . attr, assigned to */
	/* statements */
	N_DATA,  /* v */
	N_PRINT, /* a */
	N_FOR,   /* a in b if c: list; other */
	N_IF,    /* a: list; other is a list, maybe one N_IF */
	N_SET,   /* a = b */
	N_SET_BLOCK,
	N_MACRO, /* name (params) list */
	N_CALL_BLOCK,
	N_FILTER_BLOCK,
	N_WITH, /* params: list of N_SET */
	N_GENERATION,
	N_BREAK,
	N_CONTINUE,
};

struct jnode {
	enum jkind kind;
	enum jtok op;
	uint32_t line;
	uint32_t depth; /* of the tree under it */
	bool flag;      /* of a loop: recursive; of an if: other is an else */
	struct jnode *a, *b, *c, *d;
	struct jnode *list, *other, *params, *next;
	struct jnode *kw; /* a = value, name */
	struct jnode *star, *star2;
	const char *name; /* interned: equal names are one pointer */
	const struct jstr *attr;
	struct jval v;
	const struct jbuiltin *fn;
	/* names that the scope of list (of other) begins without, or NULL */
	const char **unset, **unset_other;
	bool varargs, kwargs, caller; /* what a macro's body speaks of */
};

struct ft_jinja {
	struct ft_arena a;
	struct jnode *body;
	const char **unset; /* of the whole template */
	const char **name;  /* all interned names */
	size_t nname, capname;
	/* interned: what loops, macros and blocks define by themselves */
	const char *loop, *caller, *kwargs, *varargs, *block;
	bool generation;
};

int jinja_parse(struct ft_jinja *t, const struct jtokens *tk,
		struct ft_err *err);
const char *jinja_intern(struct ft_jinja *t, const char *s, size_t n);
/* Which names a scope begins without (jinja_scope.c). */
void jinja_scopes(struct ft_jinja *t);

/* --- a rendering ---------------------------------------------------------- */

struct jvar {
	const char *name;
	struct jval v;
};
struct jscope {
	struct jscope *up;
	struct jvar *v;
	size_t n, cap;
};
struct jmacro {
	const struct jnode *node;
	struct jscope *scope; /* where it was defined */
	const char *name;     /* NULL: a call block's */
};

/* Bytes with their marks, in the arena. */
struct jbuf {
	char *s;
	unsigned char *m;
	size_t n, cap, chars;
};

struct jx {
	struct ft_arena a;
	const struct ft_jinja *t;
	struct ft_err *err;
	uint64_t steps, max_steps;
	size_t max_memory;
	bool over; /* memory: found out at the next step */
	int depth;
	uint32_t line;
	struct jbuf *out;
	struct jscope *scope;     /* the present one */
	struct jval *caller;      /* of the call that a {% call %} makes next */
	struct ft_jinja_out *gen; /* spans go here, unless inside a buffer */
	struct jbuf *top;
};

enum { JX_DEPTH = 1000 }; /* of calls within calls here */

int jx_err(struct jx *x, const char *fmt, ...) FT_PRINTF(2, 3);
int jx_step(struct jx *x);
void *jx_alloc(struct jx *x, size_t n);
/* May so many more bytes be had?  Sets the error if not. */
int jx_room(struct jx *x, size_t n, size_t size);

/* Text. */
void jb_reserve(struct jx *x, struct jbuf *b, size_t n); /* so much will come */
void jb_add(struct jx *x, struct jbuf *b, const char *s, size_t n,
	    unsigned char mark);
void jb_adds(struct jx *x, struct jbuf *b, const char *s);
void jb_addc(struct jx *x, struct jbuf *b, char c);
void jb_addf(struct jx *x, struct jbuf *b, const char *fmt, ...)
	FT_PRINTF(3, 4);
/* Bytes [from, to) of s with their marks. */
void jb_part(struct jx *x, struct jbuf *b, const struct jstr *s, size_t from,
	     size_t to);
void jb_str(struct jx *x, struct jbuf *b, const struct jstr *s);
/* A code point. */
void jb_char(struct jx *x, struct jbuf *b, uint32_t c, unsigned char mark);
const struct jstr *jb_end(struct jx *x, struct jbuf *b);
static inline unsigned char js_mark(const struct jstr *s, size_t i)
{
	return s->m ? s->m[i] : s->mark;
}
const struct jstr *js_new(struct jx *x, const char *s, size_t n,
			  unsigned char mark); /* copies */
const struct jstr *js_lit(struct jx *x, const char *s);
const struct jstr *js_part(struct jx *x, const struct jstr *s, size_t from,
			   size_t to);
bool js_is(const struct jstr *s, const char *lit);
bool js_eq(const struct jstr *a, const struct jstr *b);
/* Byte offset of character i (0 <= i <= chars). */
size_t js_at(const struct jstr *s, size_t i);
size_t js_chars(const char *s, size_t n);

/* Values. */
static inline struct jval jv_none(void)
{
	return (struct jval){.t = V_NONE};
}
static inline struct jval jv_bool(bool b)
{
	return (struct jval){.t = V_BOOL, .u.b = b};
}
static inline struct jval jv_int(int64_t i)
{
	return (struct jval){.t = V_INT, .u.i = i};
}
static inline struct jval jv_float(double f)
{
	return (struct jval){.t = V_FLOAT, .u.f = f};
}
static inline struct jval jv_str(const struct jstr *s)
{
	return (struct jval){.t = V_STR, .u.s = s};
}
struct jval jv_undef(struct jx *x, const char *fmt, ...) FT_PRINTF(2, 3);
struct jval jv_list(struct jx *x, size_t cap);
struct jval jv_tuple(struct jx *x, size_t cap);
struct jval jv_dict(struct jx *x);
struct jval jv_iter(struct jiter *it);
void jl_push(struct jx *x, struct jlist *l, struct jval v);
/* The Python type's name. */
const char *jv_type(const struct jval *v);
bool jv_is_num(const struct jval *v); /* int, bool, float */
bool jv_is_int(const struct jval *v); /* int, bool */
int64_t jv_i(const struct jval *v);
double jv_f(const struct jval *v);
int jv_truth(struct jx *x, const struct jval *v, bool *out);
int jv_len(struct jx *x, const struct jval *v, int64_t *n); /* or an error */
bool jv_has_len(const struct jval *v);
/* 1 equal, 0 not, -1 error. */
int jv_eq(struct jx *x, const struct jval *a, const struct jval *b);
/* *out = a op b, for T_LT, T_LE, T_GT, T_GE. */
int jv_order(struct jx *x, enum jtok op, const struct jval *a,
	     const struct jval *b, bool *out);
/* 1, 0, -1: a in b. */
int jv_in(struct jx *x, const struct jval *a, const struct jval *b);
bool jv_can_hash(const struct jval *v);
int jv_hashable(struct jx *x, const struct jval *v); /* or an error */
/* Append str(v), repr(v). */
int jv_put(struct jx *x, struct jbuf *b, const struct jval *v);
int jv_repr(struct jx *x, struct jbuf *b, const struct jval *v);
int jv_to_str(struct jx *x, const struct jval *v, const struct jstr **out);
void jx_float_repr(struct jx *x, struct jbuf *b, double f);
int jx_undefined(struct jx *x, const struct jval *v);

/* Dicts.  1 found, 0 not, -1 error. */
int jd_find(struct jx *x, const struct jdict *d, const struct jval *k,
	    size_t *at);
int jd_set(struct jx *x, struct jdict *d, const struct jval *k,
	   const struct jval *v);
const struct jval *jd_get(const struct jdict *d, const char *key);
void jd_put(struct jx *x, struct jdict *d, const char *key, struct jval v);

/* Iterators. */
int jx_iter(struct jx *x, const struct jval *v, struct jiter **it);
bool jv_iterable(const struct jval *v);
int ji_next(struct jx *x, struct jiter *it, struct jval *v); /* 1, 0, -1 */
/* What make_attrgetter's function returns for item; attr NULL or None: item. */
int jx_attribute(struct jx *x, const struct jval *item, const struct jval *attr,
		 const struct jval *fallback, bool fold, struct jval *out);
int jx_to_list(struct jx *x, const struct jval *v, struct jlist **out);

/* Input. */
struct jval jx_json(struct jx *x, const struct ft_json *j, unsigned char mark);
struct jval jx_messages(struct jx *x, const struct ft_jinja_var *v);

/* Expressions and statements. */
int jx_eval(struct jx *x, const struct jnode *n, struct jval *out);
int jx_body(struct jx *x, const struct jnode *list);
enum { JX_BREAK = 1, JX_CONTINUE = 2 }; /* of jx_body, beside 0 and -1 */
int jx_assign(struct jx *x, const struct jnode *target, const struct jval *v);
void jx_enter(struct jx *x, struct jscope *s, struct jscope *up,
	      const char **unset);
void jx_define(struct jx *x, const char *name, struct jval v);
bool jx_lookup(struct jx *x, const char *name, struct jval *v);
int jx_call_macro(struct jx *x, const struct jmacro *m,
		  const struct jargs *args, struct jval *out);
int jx_loop_call(struct jx *x, struct jloop *lo, const struct jval *of,
		 struct jval *out);
int jx_loop_attr(struct jx *x, struct jloop *lo, const char *name,
		 struct jval *out); /* 1, 0 no such, -1 */
int jx_loop_if(struct jx *x, struct jiter *it, const struct jval *v);
int jx_binary(struct jx *x, enum jtok op, const struct jval *a,
	      const struct jval *b, struct jval *out);
int jx_too_large(struct jx *x); /* an integer: the error */
/* o[i] of a sequence: 1, 0 when there is none, -1. */
int jx_element(struct jx *x, const struct jval *o, int64_t i, struct jval *out);
int jx_attr(struct jx *x, const struct jval *o, const struct jstr *name,
	    struct jval *out);
int jx_item(struct jx *x, const struct jval *o, const struct jval *key,
	    struct jval *out);
int jx_slice(struct jx *x, const struct jval *o, const struct jval k[3],
	     struct jval *out);
int jx_call(struct jx *x, const struct jval *f, const struct jargs *args,
	    struct jval *out);

/* --- what is built in ----------------------------------------------------- */

/*
 * A filter, a test, a method or a function.  sig names the parameters after
 * the value itself: "a,b?,c?" (`?`: may be left out); "*" takes any; a leading
 * "/" only by position.  v[i] is NULL where a parameter was left out.
 */
typedef int jfn(struct jx *x, const struct jval *self,
		const struct jval *const v[], const struct jargs *all,
		struct jval *out);
struct jbuiltin {
	const char *name;
	const char *sig;
	jfn *fn;
};
enum { JX_PARAMS = 6 };
/* clang-format off */
#define JX_FN(name) \
	static int name(struct jx *x, const struct jval *self, \
			const struct jval *const v[], \
			const struct jargs *all, struct jval *out)
#define JX_UNUSED ((void)x, (void)self, (void)v, (void)all)
/* clang-format on */

/* The one of that name in a table, or NULL. */
const struct jbuiltin *jinja_among(const struct jbuiltin *t, size_t n,
				   const char *name);
#define JINJA_AMONG(t, name) jinja_among(t, sizeof(t) / sizeof(*(t)), name)

const struct jbuiltin *jinja_filter(const char *name);
const struct jbuiltin *jinja_list_filter(const char *name);
const struct jbuiltin *jinja_test(const char *name);
const struct jbuiltin *jinja_global(const char *name);
const struct jbuiltin *jinja_method(enum jtype t, const char *name);
const struct jbuiltin *jinja_str_method(const char *name);
/* Is it an attribute that some Python type has, though not one known here? */
bool jinja_foreign(enum jtype t, const char *name);
/* A filter of Jinja2 that is not known here? */
bool jinja_foreign_filter(const char *name);
/* A method of anything that a template can call. */
bool jinja_callable_name(const char *name);
int jx_builtin(struct jx *x, const struct jbuiltin *f, const struct jval *self,
	       const struct jargs *args, struct jval *out);
void ja_push(struct jx *x, struct jargs *a, struct jval v);
void ja_push_key(struct jx *x, struct jargs *a, const struct jstr *k,
		 struct jval v);

/* Of a parameter: an integer (or, left out, the default), a string. */
int jp_int(struct jx *x, const struct jval *v, int64_t dflt, int64_t *out);
int jp_str(struct jx *x, const struct jval *v, const char *what,
	   const struct jstr **out);
int jp_bool(struct jx *x, const struct jval *v, bool dflt, bool *out);
bool jp_given(const struct jval *v); /* there, and not None */

int jx_tojson(struct jx *x, const struct jval *v, const struct jval *const p[],
	      struct jval *out);
int jx_percent(struct jx *x, const struct jstr *fmt, const struct jval *arg,
	       struct jval *out);
int jx_format(struct jx *x, const struct jstr *fmt, const struct jargs *args,
	      struct jval *out);
const struct jstr *jx_escape(struct jx *x, const struct jstr *s);

/* Text as Python's str methods see it. */
enum jcase { CASE_LOWER, CASE_UPPER, CASE_TITLE };
enum jclass {
	CLASS_LOWER,
	CLASS_UPPER,
	CLASS_ALPHA,
	CLASS_DECIMAL,
	CLASS_DIGIT,
	CLASS_NUMERIC,
	CLASS_PRINTABLE,
	CLASS_CASED,
	CLASS_IGNORABLE,
};
bool jc_is(enum jclass c, uint32_t cp);
bool jc_space(uint32_t cp);
/* Append s in another case; with one, only its first character (the rest in
   lower case, if rest). */
void jc_put(struct jx *x, struct jbuf *b, const struct jstr *s, enum jcase c);
void jc_capitalize(struct jx *x, struct jbuf *b, const struct jstr *s);
const struct jstr *jx_strip(struct jx *x, const struct jstr *s,
			    const struct jstr *chars, bool left, bool right);
struct jval jx_reverse_str(struct jx *x, const struct jstr *s);
/* Byte offset of needle at or after byte `from`, or SIZE_MAX. */
size_t js_find(const struct jstr *s, size_t from, const struct jstr *needle);
const struct jstr *js_replace(struct jx *x, const struct jstr *s,
			      const struct jstr *old, const struct jstr *new,
			      int64_t count);
struct jval js_splitlines(struct jx *x, const struct jstr *s, bool keep);

#endif
