/*
 * QTest: the vmi-pci device's fields in a migration stream
 *
 * The description at the stream's end names them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_QTEST_VMI_STREAM_H
#define TESTS_QTEST_VMI_STREAM_H

#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "qobject/qjson.h"
#include "qobject/qlist.h"

/* The source's cycle frequency, to find the device's fields by */
#define FREQUENCY 987654321012ULL

typedef struct Field {
    char *name;
    size_t offset, size;        /* in the stream */
} Field;

static uint8_t *stream;         /* as the source sent it */
static gsize stream_size;
static GArray *fields;

/* The sizes are the stream's own; the names, with those of structures. */
static void walk(QList *list, const char *prefix, size_t *offset)
{
    const QListEntry *entry;

    QLIST_FOREACH_ENTRY(list, entry) {
        QDict *f = qobject_to(QDict, qlist_entry_obj(entry));
        int64_t len = qdict_get_try_int(f, "array_len", 1);
        int64_t index = qdict_get_try_int(f, "index", 0);
        size_t size = qdict_get_int(f, "size");

        if (qdict_haskey(f, "struct")) {
            for (int64_t i = 0; i < len; i++) {
                g_autofree char *name =
                    g_strdup_printf("%s%s%" PRId64 ".", prefix,
                                    qdict_get_str(f, "name"), index + i);

                walk(qdict_get_qlist(qdict_get_qdict(f, "struct"), "fields"),
                     name, offset);
            }
        } else {
            Field field = {
                .name = g_strconcat(prefix, qdict_get_str(f, "name"), NULL),
                .offset = *offset,
                .size = size * len,
            };

            *offset += field.size;
            g_array_append_val(fields, field);
        }
    }
}

static QObject *stream_description(void)
{
    for (gsize i = stream_size - 5; i; i--) {
        if (stream[i] == 6 &&
            ldl_be_p(stream + i + 1) == stream_size - i - 5) {
            g_autofree char *json = g_strndup((char *)stream + i + 5,
                                              stream_size - i - 5);

            return qobject_from_json(json, &error_abort);
        }
    }
    g_assert_not_reached();
}

static void find_fields(void)
{
    QObject *description = stream_description();
    const QListEntry *entry;
    uint8_t frequency[8];
    uint8_t *found;
    size_t offset = 0, shift = 0;

    QLIST_FOREACH_ENTRY(qdict_get_qlist(qobject_to(QDict, description),
                                        "devices"), entry) {
        QDict *d = qobject_to(QDict, qlist_entry_obj(entry));

        if (g_str_has_suffix(qdict_get_str(d, "name"), "/vmi-pci")) {
            walk(qdict_get_qlist(d, "fields"), "", &offset);
        }
    }
    qobject_unref(description);

    stq_be_p(frequency, FREQUENCY);
    found = memmem(stream, stream_size, frequency, sizeof(frequency));
    g_assert_nonnull(found);
    for (guint i = 0; i < fields->len; i++) {
        if (!strcmp(g_array_index(fields, Field, i).name, "cycle_frequency")) {
            shift = found - stream - g_array_index(fields, Field, i).offset;
        }
    }
    for (guint i = 0; i < fields->len; i++) {
        g_array_index(fields, Field, i).offset += shift;
    }
}

static const Field *field_named(const char *name)
{
    for (guint i = 0; i < fields->len; i++) {
        if (!strcmp(g_array_index(fields, Field, i).name, name)) {
            return &g_array_index(fields, Field, i);
        }
    }
    g_test_message("no field %s", name);
    g_assert_not_reached();
}

static uint64_t get_field(const uint8_t *state, const char *name)
{
    const Field *f = field_named(name);
    uint64_t value = 0;

    for (size_t i = 0; i < f->size; i++) {
        value = value << 8 | state[f->offset + i];
    }
    return value;
}

static void set_field(uint8_t *state, const char *name, uint64_t value)
{
    const Field *f = field_named(name);

    g_assert_cmpint(f->size, <=, 8);
    for (size_t i = 0; i < f->size; i++) {
        state[f->offset + f->size - 1 - i] = value >> 8 * i;
    }
}

#endif
