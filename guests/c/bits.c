// The functions of bundle.h, which wit-bindgen makes of wit/bits.wit. They own their arguments and free them;
// what they return is freed by the generated code.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bundle.h"

typedef exports_example_bits_modes_mode_t file_mode;

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return memory;
}

// The modes of files.

static const char KINDS[] = "-dlpsbc";
static const uint32_t KIND_BITS[] = {0100000, 0040000, 0120000, 0010000, 0140000, 0060000, 0020000};
static const char LETTERS[] = "rwxrwxrwx";
static const char SPECIALS[] = "sst";

/// Three bits the other way round: flags begin with the least bit, modes with the greatest.
static uint32_t turned(uint32_t bits) { return (bits & 1) << 2 | (bits & 2) | (bits & 4) >> 2; }

uint32_t exports_example_bits_modes_number(file_mode *mode) {
    return KIND_BITS[mode->kind] | turned(mode->special) << 9 | turned(mode->owner) << 6 | turned(mode->group) << 3
         | turned(mode->others);
}

static bool from_number(uint32_t number, file_mode *mode) {
    uint32_t kind = number & ~07777u;
    if (kind == 0) kind = KIND_BITS[0]; // as `chmod` takes them
    for (uint8_t index = 0; index < sizeof KINDS - 1; index++) {
        if (KIND_BITS[index] != kind) continue;
        mode->kind = index;
        mode->special = (uint8_t)turned(number >> 9);
        mode->owner = (uint8_t)turned(number >> 6);
        mode->group = (uint8_t)turned(number >> 3);
        mode->others = (uint8_t)turned(number);
        return true;
    }
    return false;
}

static bool from_letters(const bundle_string_t *letters, file_mode *mode) {
    const char *kind = letters->len == 10 ? memchr(KINDS, letters->ptr[0], sizeof KINDS - 1) : NULL;
    if (kind == NULL) return false;
    uint32_t special = 0, access = 0;
    for (size_t index = 0; index < 9; index++) {
        char letter = (char)letters->ptr[index + 1], extra = SPECIALS[index / 3];
        bool is_extra = index % 3 == 2 && (letter == extra || letter == extra - 'a' + 'A');
        if (index % 3 == 2) special = special << 1 | is_extra;
        access = access << 1 | (letter == LETTERS[index] || (is_extra && letter == extra));
        if (letter != LETTERS[index] && letter != '-' && !is_extra) return false;
    }
    return from_number(KIND_BITS[kind - KINDS] | special << 9 | access, mode);
}

bool exports_example_bits_modes_read(
    exports_example_bits_modes_written_t *written, file_mode *ret, bundle_string_t *err) {
    bool is_number = written->tag == EXPORTS_EXAMPLE_BITS_MODES_WRITTEN_NUMBER;
    bool is_ok = is_number ? from_number(written->val.number, ret) : from_letters(&written->val.letters, ret);
    if (!is_ok) {
        char why[80] = "that is no mode: 10 letters are, as in drwxr-xr-x";
        if (is_number) snprintf(why, sizeof why, "%#o is the mode of no kind of file", written->val.number);
        bundle_string_dup(err, why);
    }
    exports_example_bits_modes_written_free(written);
    return is_ok;
}

void exports_example_bits_modes_letters(file_mode *mode, bundle_string_t *ret) {
    uint32_t number = exports_example_bits_modes_number(mode);
    char letters[10];
    letters[0] = KINDS[mode->kind];
    for (size_t index = 0; index < 9; index++) {
        bool has_access = number >> (8 - index) & 1;
        bool is_extra = index % 3 == 2 && (number >> (11 - index / 3) & 1);
        char extra = SPECIALS[index / 3];
        letters[index + 1] = is_extra ? (char)(has_access ? extra : extra - 'a' + 'A') : has_access ? LETTERS[index] : '-';
    }
    bundle_string_dup_n(ret, letters, sizeof letters);
}

// Bytes.

uint64_t exports_example_bits_bytes_checksum_of(
    bundle_list_u8_t *data, exports_example_bits_bytes_checksum_t checksum, uint64_t *maybe_after) {
    bool is_crc = checksum == EXPORTS_EXAMPLE_BITS_BYTES_CHECKSUM_CRC32;
    uint64_t sum = maybe_after != NULL ? *maybe_after : is_crc ? 0 : 0xcbf29ce484222325;
    if (is_crc) sum = ~(uint32_t)sum & 0xffffffff;
    for (size_t index = 0; index < data->len; index++) {
        sum ^= data->ptr[index];
        if (!is_crc) sum *= 0x100000001b3;
        for (int bit = 0; is_crc && bit < 8; bit++) sum = sum >> 1 ^ (sum & 1 ? 0xedb88320 : 0);
    }
    bundle_list_u8_free(data);
    return is_crc ? ~(uint32_t)sum & 0xffffffff : sum;
}

void exports_example_bits_bytes_shorten(bundle_list_u64_t *numbers, bundle_list_u8_t *ret) {
    ret->ptr = allocate(numbers->len, 10);
    ret->len = 0;
    for (size_t index = 0; index < numbers->len; index++) {
        uint64_t rest = numbers->ptr[index];
        for (; rest > 0x7f; rest >>= 7) ret->ptr[ret->len++] = (uint8_t)(rest | 0x80);
        ret->ptr[ret->len++] = (uint8_t)rest;
    }
    bundle_list_u64_free(numbers);
}

bool exports_example_bits_bytes_lengthen(
    bundle_list_u8_t *data, bundle_list_u64_t *ret, exports_example_bits_bytes_trouble_t *err) {
    ret->ptr = allocate(data->len, sizeof *ret->ptr);
    ret->len = 0;
    uint64_t number = 0;
    size_t start = 0;
    bool is_too_large = false;
    for (size_t index = 0; index < data->len && !is_too_large; index++) {
        uint64_t bits = data->ptr[index] & 0x7f;
        size_t shift = (index - start) * 7;
        is_too_large = shift > 63 || (shift == 63 && bits > 1);
        number |= is_too_large ? 0 : bits << shift;
        if (data->ptr[index] > 0x7f || is_too_large) continue;
        ret->ptr[ret->len++] = number;
        number = 0;
        start = index + 1;
    }
    bool is_cut_off = start < data->len;
    if (is_cut_off) {
        free(ret->ptr);
        err->tag = is_too_large ? EXPORTS_EXAMPLE_BITS_BYTES_TROUBLE_TOO_LARGE
                                : EXPORTS_EXAMPLE_BITS_BYTES_TROUBLE_CUT_OFF;
        err->val.cut_off = start;
    }
    bundle_list_u8_free(data);
    return !is_cut_off;
}

void exports_example_bits_bytes_ones(uint64_t number, bundle_tuple2_u32_option_tuple2_u8_u8_t *ret) {
    ret->f0 = (uint32_t)__builtin_popcountll(number);
    ret->f1.is_some = number != 0;
    if (number == 0) return;
    ret->f1.val.f0 = (uint8_t)__builtin_ctzll(number);
    ret->f1.val.f1 = (uint8_t)(63 - __builtin_clzll(number));
}

// Letters.

/// The next character of UTF-8, which the host has checked.
static uint32_t next(const uint8_t **text) {
    uint32_t first = *(*text)++;
    if (first < 0x80) return first;
    int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    uint32_t letter = first & (0x3f >> more);
    while (more-- > 0) letter = letter << 6 | (*(*text)++ & 0x3f);
    return letter;
}

uint32_t exports_bundle_distance(bundle_string_t *one, bundle_string_t *other) {
    uint32_t *letters = allocate(other->len, sizeof *letters);
    size_t count = 0;
    for (const uint8_t *at = other->ptr; at < other->ptr + other->len;) letters[count++] = next(&at);

    uint32_t *row = allocate(count + 1, sizeof *row);
    for (size_t index = 0; index <= count; index++) row[index] = (uint32_t)index;
    for (const uint8_t *at = one->ptr; at < one->ptr + one->len;) {
        uint32_t letter = next(&at);
        uint32_t diagonal = row[0]++;
        for (size_t index = 0; index < count; index++) {
            uint32_t least = diagonal + (letter != letters[index]);
            diagonal = row[index + 1];
            if (diagonal + 1 < least) least = diagonal + 1;
            if (row[index] + 1 < least) least = row[index] + 1;
            row[index + 1] = least;
        }
    }
    uint32_t distance = row[count];

    free(row);
    free(letters);
    bundle_string_free(one);
    bundle_string_free(other);
    return distance;
}
