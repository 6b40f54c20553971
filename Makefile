# make, make install, make installcheck: PGXS, with PG_CONFIG= and DESTDIR=.
# make demo, shell, test, bench, soak: each brings its own PostgreSQL and OSS.
# make matrix, sanitize, valgrind, coverage, fuzz: the tests elsewhere and under tools.
# make dist: the archive of a release.

EXTENSION = oss_labels
MODULE_big = oss_labels
DATA = $(sort $(wildcard sql/oss_labels--*.sql))
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
OUR_HEADERS = $(wildcard src/*.h src/*/*.h)

# Without IPC::Run the TAP tests cannot run; the others can.
REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --outputdir=. --launcher=test/with-oss \
	--load-extension=$(EXTENSION)
ENCODING = UTF8
NO_LOCALE = 1
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = $(REGRESS_OPTS)
PROVE_TESTS = $(sort $(wildcard test/t/*.pl))
ifneq ($(PROVE_TESTS),)
ifeq ($(shell perl -MIPC::Run -e 'print 1' 2>/dev/null),1)
TAP_TESTS = 1
PROVE_FLAGS = -I test/perl
endif
endif

CURL_CONFIG ?= curl-config
PG_CPPFLAGS = -Isrc $(shell $(CURL_CONFIG) --cflags 2>/dev/null)
PG_CFLAGS = $(PG_STD) -Wno-declaration-after-statement -Wall -Wextra \
	-Wno-unused-parameter -Wno-missing-field-initializers -Wno-sign-compare
SHLIB_LINK = $(or $(shell $(CURL_CONFIG) --libs 2>/dev/null),-lcurl) -lcrypto -lexpat \
	$(if $(filter linux,$(PORTNAME)),-Wl$(comma)--version-script=src/exports.map)
comma = ,
ifeq ($(CI),true)
PG_CFLAGS += -Werror
endif

EXTRA_CLEAN = results regression.diffs regression.out output_iso \
	tmp_check tmp_check_iso test/.build

PG_CONFIG ?= pg_config
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))
ifneq ($(PGXS),)

# PostgreSQL 19's headers may be configured for C23.  Those of 15 are not C23.
PG_C23 := $(shell grep -s 'define HAVE_TYPEOF_UNQUAL 1' \
	$$($(PG_CONFIG) --includedir-server)/pg_config.h)
PG_STD = $(if $(PG_C23),,-std=gnu11)

# JIT bitcode is an extra: leave it out where PostgreSQL's clang is missing.
GLOBAL_MK = $(dir $(PGXS))../Makefile.global
PG_CLANG = $(shell sed -n 's/^CLANG *= *//p' $(GLOBAL_MK))
PG_LLVM = $(shell sed -n 's/^LLVM_BINPATH *= *//p' $(GLOBAL_MK))
ifeq ($(and $(PG_CLANG),$(shell command -v $(PG_CLANG)),$(wildcard $(PG_LLVM)/llvm-lto)),)
override with_llvm = no
endif
include $(PGXS)

# PGXS tracks no headers; they are few, so all objects depend on all of them.
$(OBJS) $(OBJS:.o=.bc): $(OUR_HEADERS) Makefile

# Each test's psql runs under the launcher, beside its own stand-in OSS.
installcheck: oss-server
clean: clean-tests
else

all install uninstall installcheck clean:
	@echo 'PostgreSQL server development files not found by "$(PG_CONFIG)":' \
		'name another PG_CONFIG=, or see test/setup' >&2; exit 1
endif

TEST_PROGRAMS = $(patsubst %/Makefile,%,$(wildcard test/*/Makefile))

oss-server:
	$(MAKE) -C test/oss-server

clean-tests:
	for dir in $(TEST_PROGRAMS); do $(MAKE) -C $$dir clean || exit 1; done

test:
	@test/run

matrix:
	@test/matrix $(MAJORS)

sanitize valgrind coverage:
	@test/$@

# Five minutes for each target; corpora are kept outside the tree.
FUZZ_SECONDS = 300
fuzz:
	@test/setup fuzz
	@$(MAKE) -s -C test/fuzz run SECONDS=$(FUZZ_SECONDS)

demo:
	@test/demo/run

bench:
	@test/bench/run

soak:
	@test/soak

shell:
	@test/cluster

VERSION = $(shell sed -n "s/^ *\"version\": \"\(.*\)\",/\1/p" META.json | head -1)
dist:
	git archive --format=zip --prefix=$(EXTENSION)-$(VERSION)/ \
		-o $(EXTENSION)-$(VERSION).zip HEAD

.PHONY: oss-server clean-tests test matrix sanitize valgrind coverage fuzz demo bench soak shell dist
