/* SPDX-License-Identifier: MIT */
#include "libcommon/base/hash.h"

#include <stdbool.h>
#include <string.h>

#include "tests/lib/child.h"
#include "tests/lib/test.h"

/* Of the bytes 3, 10, 17, ... (7 i + 3), by Python's hashlib and xxhash. */
static const struct {
	size_t n;
	uint64_t xxh64;
	const char *sha256;
} vectors[] = {
	{0, 0xef46db3751d8e999u,
	 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{1, 0x1f25c8d0bc1f4bb6u,
	 "084fed08b978af4d7d196a7446a86b58009e636b611db16211b65a9aadff29c5"},
	{3, 0x31d2363f52e564c9u,
	 "6ab0dba1f4f1dfbb37b4f9eeb092c09fca4900ad32bdcd147d8dde35d6c87c35"},
	{4, 0x9bb64b7d66ee9fdau,
	 "42a146d9caf95c0d29b3ea8e3574f3c47758bec2cdcb99e6f10381de77ab6d54"},
	{7, 0x9a7b149959ce60d8u,
	 "ab764db46a4b504f034619a51475e900366a04738693b13a742845930daf74e4"},
	{8, 0xdab99d95c6f90092u,
	 "0865c1be255b33b69c4c1b7df3646cd2b7feab36f595044ab191176f1668d9ad"},
	{11, 0x7a52cc9457cf1a1fu,
	 "74b55c9de0be1e88daf5efc4838719c5b96f707bb47f99f5f4a30d7269b0838d"},
	{15, 0x1b47cb8243cc8e32u,
	 "98b03249d75e642ef41f16fc71486ea85b551fc8c90324be773d3967852f790c"},
	{16, 0x434850232b787be2u,
	 "9c94926dfb94433e790f2c209e2633b2dd3e922b2741ac687e164d488d1ff67c"},
	{31, 0xa2aa5f33cc4a6119u,
	 "721f1b54dd0f746ef819ba479fcd63b6117bfbe44acc432bf0cb0a639fd41766"},
	{32, 0x23c3c17ef790fd97u,
	 "ab5f8b5cb9435354c7b58603592d5faf081e17ceb05f7a7c67f4b666f12ca457"},
	{33, 0x50a7cfc7ba588784u,
	 "90f90857a7d1aad4925c6d5edbda0abfc8270e3fe5d6da2dd5eae75009cd7609"},
	{55, 0x0a815463dd86507au,
	 "e7313d333c272e639f790978283f9eb392e843d0f29b7016828bb1daa4aac70b"},
	{56, 0xed350c04e51a88e9u,
	 "4324d65f3c103567f5589c710bc08f8523f929a9272e3af36fc968e52abc6c27"},
	{57, 0xe1d288e4de03cb88u,
	 "35df609437dcfea3279283ab79fd554e2bf78f8f7ae2de532d8ee300b09e8f73"},
	{63, 0x5e3e54b431c7493cu,
	 "81c80242132f230c3bd41b3e63bbcff16107339549214a99614ff26664625055"},
	{64, 0x0eb64b3ef6eeb01fu,
	 "39e3d7b6b5d075d37d053ad89b24b41bef4f3c29760c84447cab3f3be1882241"},
	{65, 0xa383b724b2bd12f1u,
	 "aacca6ff74fdbb296d165a45cecfa04e5127bc008770fbbdd48006f2d2fae95e"},
	{95, 0xf6ffb9103991895fu,
	 "3a23c9132a8635ad65b1055484a4d241b70ea94ed89c4d96e22ceec9daae992c"},
	{96, 0x3101a958de582e18u,
	 "c9f1a5f79d7bea01a54f4edb41673722f627ee2e82dda324946b63cf4b9b16af"},
	{100, 0xa61f8d4c170fe531u,
	 "5a2cda2351d1cdd9dd7957e57c0b3c8522451f25b6494569b7e94388c46f0980"},
	{119, 0x587bc20a7f727e3cu,
	 "9ce7368e4daf32341631b492e80359dc9f594b48453cd0dd5bf0b19279cc177e"},
	{120, 0xe728c450e24ae3eau,
	 "7836b787757e95e58b3ca5aec90b1b004e8deba1e50e9675af9cabf1a13a04b5"},
	{127, 0x0c2b3713c3edbeb3u,
	 "a8d23e75d936f303d248888d9b165ee543f4cbafcad3c9dd2a79bd84faa11d07"},
	{128, 0x46fbcfbf0150793fu,
	 "d2742f1f4ac6bb7ca2b239ee18402ba8b3f9f8e652d2a72973c2b9ba11c08cf6"},
	{129, 0x3eb5d118151c8303u,
	 "307f8fc2c1622b92762e818d39a185d4d667ad49a4b07ceae1f4afa008a93ec4"},
	{255, 0x39ae55a29989206fu,
	 "3c8af6e36699077166f180b277f93992e354c66a63a3541ef18d61524eac85e9"},
	{256, 0x00cfc5207dd8e201u,
	 "d9c76fa34978cb9620dab8c3f46bbe075fddc145eb282b39009141f98d0cfe82"},
	{1000, 0x5f235fa033f1a3fbu,
	 "1e9bc38cbf860b9ec31918b065f9b52476c549a782e0e7990bed8ce3868d2371"},
};

/* Add it in pieces of at most step bytes. */
static bool agrees(const unsigned char *p, size_t n, size_t step,
		   uint64_t xxh64, const char *sha256)
{
	struct ft_xxh64 x;
	struct ft_sha256 s;
	char hex[65];

	ft_xxh64_init(&x);
	ft_sha256_init(&s);
	for (size_t i = 0; i < n;) {
		size_t k = n - i < step ? n - i : step;

		ft_xxh64_add(&x, p + i, k);
		ft_sha256_add(&s, p + i, k);
		ft_xxh64_end(&x); /* looking changes nothing */
		i += k;
	}
	ft_xxh64_add(&x, p, 0);
	ft_sha256_hex(&s, hex);
	return ft_xxh64_end(&x) == xxh64 && !strcmp(hex, sha256);
}

static void test_all(void *arg)
{
	static unsigned char data[1000];
	static unsigned char million[1000000];
	struct ft_sha256 s;
	char hex[65];

	if (arg)
		setenv("FT_ISA", arg, 1);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 7 + 3);
	for (size_t i = 0; i < sizeof(vectors) / sizeof(*vectors); i++) {
		static const size_t steps[] = {1000, 1, 31, 64, 65};
		bool ok = true;

		for (size_t k = 0; k < 5; k++)
			ok = ok && agrees(data, vectors[i].n, steps[k],
					  vectors[i].xxh64, vectors[i].sha256);
		CHECK(ok, "%zu bytes", vectors[i].n);
	}
	memset(million, 'a', sizeof(million));
	ft_sha256_init(&s);
	ft_sha256_add(&s, million, sizeof(million));
	ft_sha256_hex(&s, hex);
	CHECK(!strcmp(hex, "cdc76e5c9914fb9281a1c7e284d73e67"
			   "f1809a48a497200e046d39ccc7112cd0"),
	      "a million a (FIPS 180-4)");
	if (arg)
		exit(test_failed ? 1 : 0);
}

int main(void)
{
	struct child c;
	char scalar[] = "scalar";

	child_run(&c, test_all, scalar);
	CHECK(c.status == 0, "all of this in plain C");
	test_all(NULL);
	return test_done();
}
