// SPDX-License-Identifier: Apache-2.0
// A plugin's file is judged by its bytes: dlopen() runs constructors, and it dies of SIGBUS on
// a file that ends too early, so both questions have to be answered before it is called. The
// plugin object lies in .data.rel.ro and its code pointers are relocations: what the file holds
// of them means nothing yet, which is why the identity part has none.
#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/loader.h"
#include "plugin/registry.h"

#define SYMBOL "tg_plugin_v1"
#define SCHEMA SYMBOL "_schema"
#define IDENTITY offsetof(tg_plugin, life)
#define SCHEMA_MAX (1u << 20)

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#error "name this machine's ELF number"
#endif

typedef struct image {
    int fd;
    const char *path;
    uint64_t size; // of the file
    Elf *elf;
    tg_error *e;
} image;

static int refuse(const image *im, int code, const char *why)
{
    tg_error_set(im->e, code, "%s: %s", im->path, why);
    return code;
}

static bool within(const image *im, uint64_t at, uint64_t len)
{
    return at <= im->size && len <= im->size - at;
}

static int check_header(const image *im)
{
    GElf_Ehdr head;
    if (elf_kind(im->elf) != ELF_K_ELF || gelf_getehdr(im->elf, &head) == NULL)
        return refuse(im, TG_E_MALFORMED, "not an ELF file");
    unsigned char order =
        __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
    if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != order ||
        head.e_machine != MACHINE)
        return refuse(im, TG_E_VERSION, "built for another machine");
    if (head.e_type != ET_DYN)
        return refuse(im, TG_E_MALFORMED, "not a shared object");
    return 0;
}

// Section headers stand at the end of a file: they are what a truncated one has lost.
static int check_whole(const image *im)
{
    size_t n;
    if (elf_getphdrnum(im->elf, &n) != 0)
        return refuse(im, TG_E_MALFORMED, "truncated: its program headers are missing");
    for (size_t i = 0; i < n; i++) {
        GElf_Phdr seg;
        if (gelf_getphdr(im->elf, (int)i, &seg) == NULL)
            return refuse(im, TG_E_MALFORMED, "truncated: its program headers are missing");
        if (seg.p_type == PT_LOAD && !within(im, seg.p_offset, seg.p_filesz))
            return refuse(im, TG_E_MALFORMED,
                          "truncated: a segment ends behind the file's end");
    }
    if (elf_getshdrnum(im->elf, &n) != 0 || n == 0)
        return refuse(im, TG_E_MALFORMED, "truncated: its section headers are missing");
    return 0;
}

// Where the bytes of `sym` stand in the file. An address belongs to a section with bytes.
static int place(const image *im, const GElf_Sym *sym, uint64_t *at)
{
    Elf_Scn *scn =
        sym->st_shndx < SHN_LORESERVE ? elf_getscn(im->elf, sym->st_shndx) : NULL;
    GElf_Shdr head;
    if (sym->st_shndx == SHN_UNDEF || scn == NULL || gelf_getshdr(scn, &head) == NULL ||
        head.sh_type == SHT_NOBITS)
        return refuse(im, TG_E_MALFORMED, "its plugin object has no bytes in the file");
    uint64_t offset = sym->st_value - head.sh_addr;
    if (sym->st_value < head.sh_addr || offset > head.sh_size ||
        sym->st_size > head.sh_size - offset || !within(im, head.sh_offset, head.sh_size))
        return refuse(im, TG_E_MALFORMED, "its plugin object lies outside of its section");
    *at = head.sh_offset + offset;
    return 0;
}

static Elf_Scn *dynamic_symbols(const image *im, GElf_Shdr *head)
{
    for (Elf_Scn *scn = elf_nextscn(im->elf, NULL); scn != NULL;
         scn = elf_nextscn(im->elf, scn))
        if (gelf_getshdr(scn, head) != NULL && head->sh_type == SHT_DYNSYM)
            return scn;
    return NULL;
}

/// @return 1 and the symbol; 0 when there is none; TG_E_*.
static int find_symbol(const image *im, const char *name, GElf_Sym *out)
{
    GElf_Shdr head;
    Elf_Scn *scn = dynamic_symbols(im, &head);
    Elf_Data *data = scn != NULL ? elf_getdata(scn, NULL) : NULL;
    if (data == NULL || head.sh_entsize == 0)
        return refuse(im, TG_E_MALFORMED, "has no table of exported symbols");
    for (size_t i = 0; i < data->d_size / head.sh_entsize; i++) {
        if (gelf_getsym(data, (int)i, out) == NULL)
            return refuse(im, TG_E_MALFORMED, "its table of exported symbols is damaged");
        const char *at = elf_strptr(im->elf, head.sh_link, out->st_name);
        if (at != NULL && strcmp(at, name) == 0 && out->st_shndx != SHN_UNDEF)
            return 1;
    }
    return 0;
}

static int read_at(const image *im, void *to, size_t len, uint64_t at)
{
    for (size_t got = 0; got < len;) {
        ssize_t n = pread(im->fd, (char *)to + got, len - got, (off_t)(at + got));
        if (n <= 0)
            return refuse(im, TG_E_IO, "could not be read");
        got += (size_t)n;
    }
    return 0;
}

static bool text_valid(const char *text, size_t size, size_t min)
{
    size_t len = strnlen(text, size);
    if (len == size || len < min)
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            return false;
    return true;
}

static int check_identity(const image *im, const tg_plugin *p, uint64_t symbol_size)
{
    const uint32_t known =
        TG_CAP_ADAPTER | TG_CAP_AUTH | TG_CAP_TRIGGER | TG_CAP_DRIVER | TG_CAP_STORE;
    if (memcmp(p->magic, TG_PLUGIN_MAGIC, sizeof(p->magic)) != 0)
        return refuse(im, TG_E_MALFORMED, SYMBOL " has another magic");
    if (p->abi_major != TG_ABI_MAJOR)
        return tg_error_set(im->e, TG_E_VERSION,
                            "%s: built for ABI %u, this host has %u.%u", im->path,
                            p->abi_major, TG_ABI_MAJOR, TG_ABI_MINOR);
    if (p->abi_minor > TG_ABI_MINOR)
        return tg_error_set(im->e, TG_E_VERSION, "%s: needs ABI %u.%u, this host has %u.%u",
                            im->path, p->abi_major, p->abi_minor, TG_ABI_MAJOR,
                            TG_ABI_MINOR);
    if (p->lua_version_num != 0 && p->lua_version_num != TG_LUA_VERSION)
        return tg_error_set(im->e, TG_E_VERSION,
                            "%s: brings a module for Lua version %u, this host runs %u",
                            im->path, p->lua_version_num, TG_LUA_VERSION);
    if (p->size < IDENTITY + sizeof(p->life.load) || p->size > symbol_size)
        return refuse(im, TG_E_MALFORMED, SYMBOL " has a wrong size");
    if (!text_valid(p->id, sizeof(p->id), 1) || !tg_id_valid(tg_str(p->id), sizeof(p->id)))
        return refuse(im, TG_E_MALFORMED,
                      "its id is empty or has other than letters, digits, - _ .");
    if (!text_valid(p->version, sizeof(p->version), 1))
        return refuse(im, TG_E_MALFORMED, "its version is empty or has no end");
    if (!text_valid(p->build_id, sizeof(p->build_id), 0))
        return refuse(im, TG_E_MALFORMED, "its build id has no end");
    if ((p->capabilities & ~known) != 0 ||
        (p->flags & ~(uint32_t)TG_PLUGIN_UNMAP_SAFE) != 0)
        return refuse(im, TG_E_VERSION,
                      "it asks for capabilities that this host does not have");
    return 0;
}

static int read_plugin(const image *im, tg_plugin *out)
{
    GElf_Sym sym;
    int rc = find_symbol(im, SYMBOL, &sym);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return refuse(im, TG_E_MALFORMED, "does not export " SYMBOL);
    if (sym.st_size < IDENTITY)
        return refuse(im, TG_E_MALFORMED, SYMBOL " has a wrong size");
    uint64_t at;
    rc = place(im, &sym, &at);
    if (rc == 0)
        rc = read_at(im, out, IDENTITY, at);
    return rc == 0 ? check_identity(im, out, sym.st_size) : rc;
}

static int read_schema(const image *im, tg_identity *out)
{
    GElf_Sym sym;
    int rc = find_symbol(im, SCHEMA, &sym);
    if (rc <= 0)
        return rc;
    if (sym.st_size == 0 || sym.st_size > SCHEMA_MAX)
        return refuse(im, TG_E_MALFORMED, "its schema is empty or too large");
    uint64_t at;
    rc = place(im, &sym, &at);
    if (rc < 0)
        return rc;
    out->schema = malloc(sym.st_size);
    if (out->schema == NULL)
        return refuse(im, TG_E_NOMEM, "out of memory");
    rc = read_at(im, out->schema, sym.st_size, at);
    out->schema_len = strnlen(out->schema, sym.st_size);
    return rc;
}

int tg_elf_read(int fd, const char *path, tg_identity *out, tg_error *e)
{
    memset(out, 0, sizeof(*out));
    image im = {.fd = fd, .path = path, .e = e};
    struct stat st;
    if (fstat(fd, &st) != 0 || elf_version(EV_CURRENT) == EV_NONE)
        return refuse(&im, TG_E_IO, "could not be read");
    im.size = (uint64_t)st.st_size;
    im.elf = elf_begin(fd, ELF_C_READ, NULL);
    if (im.elf == NULL)
        return refuse(&im, TG_E_MALFORMED, "not an ELF file");
    int rc = check_header(&im);
    if (rc == 0)
        rc = check_whole(&im);
    if (rc == 0)
        rc = read_plugin(&im, &out->plugin);
    if (rc == 0)
        rc = read_schema(&im, out);
    elf_end(im.elf);
    if (rc != 0)
        tg_identity_free(out);
    return rc;
}

void tg_identity_free(tg_identity *i)
{
    free(i->schema);
    i->schema = NULL;
}
