# Build with PGXS: make, make install, make installcheck (PG_CONFIG=, DESTDIR=).
# make demo, make test and make bench bring their own PostgreSQL and OSS.

EXTENSION = oss_labels
MODULE_big = oss_labels
DATA = $(sort $(wildcard sql/oss_labels--*.sql))
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*/*.c)))

CURL_CONFIG ?= curl-config
PG_CPPFLAGS = -Isrc $(shell $(CURL_CONFIG) --cflags)
PG_CFLAGS = -Wno-declaration-after-statement
SHLIB_LINK = $(shell $(CURL_CONFIG) --libs) -lcrypto -lexpat

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
