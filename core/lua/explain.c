// SPDX-License-Identifier: Apache-2.0
// `tidegate decode`: the adapter's own frames and its own decode, in a state made for the
// call, with a recorder on the layouts. So it shows what the host would do, with no second
// description of the bytes.
#include "lua/engine.h"
#include "lua/lanes.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "lua/mod.h"

typedef struct explainer {
    tg_script *script;
    const tg_app *app;
    size_t base; ///< where the frame lies in the bytes
    void (*emit)(void *ctx, const tg_field_note *note);
    void *ctx;
} explainer;

static void forward(void *ctx, const tg_field_note *note)
{
    explainer *x = ctx;
    tg_field_note n = *note;
    n.offset += (uint32_t)x->base;
    x->emit(x->ctx, &n);
}

static void say(explainer *x, const char *name, size_t at, tg_slice raw, tg_slice value)
{
    tg_field_note n = {.size = sizeof(n),
                       .offset = (uint32_t)at,
                       .length = (uint32_t)raw.len,
                       .name = tg_str(name),
                       .raw = raw,
                       .value = value};
    x->emit(x->ctx, &n);
}

/// The messages of a decode that went well are on `co`.
static void say_result(explainer *x, lua_State *co, size_t end)
{
    tg_buf b = {0};
    tg_error e = {0};
    if (lua_isnil(co, -2)) {
        if (lua_istable(co, -1)) { // raw: nobody would catch what a metamethod raises
            lua_pushliteral(co, "message");
            lua_rawget(co, -2);
        }
        tg_slice why = TG_LIT("no message");
        if (lua_type(co, -1) == LUA_TSTRING)
            why.at = lua_tolstring(co, -1, &why.len);
        say(x, "refused", end, (tg_slice){0}, why);
    } else if (tg_lua_json_write(co, -2, &b, &e) == 0) {
        say(x, "message", end, (tg_slice){0}, tg_buf_slice(&b));
    } else {
        say(x, "error", end, (tg_slice){0}, tg_str(e.message));
    }
    tg_buf_free(&b);
}

static void explain_frame(explainer *x, tg_slice frame)
{
    tg_script *s = x->script;
    tg_vm *vm = &s->vm;
    int nres = 0;
    lua_State *co = lua_newthread(vm->L);
    lua_rawgeti(co, LUA_REGISTRYINDEX, x->app->handler[TG_ON_DECODE]);
    lua_pushlstring(co, frame.at, frame.len);
    tg_slice given;
    given.at = lua_tolstring(co, -1, &given.len);
    lua_pushvalue(co, -1);
    int anchor = luaL_ref(co, LUA_REGISTRYINDEX);
    lua_rawgeti(co, LUA_REGISTRYINDEX, x->app->ctx);
    tg_lua_notes_begin(vm->L, given, forward, x);
    int rc = tg_vm_run(vm, co, "decode", TG_BUDGET_DECODE_US, 2, &nres);
    tg_lua_notes_end(vm->L);
    if (rc == LUA_OK) {
        lua_settop(co, nres);
        lua_settop(co, 2);
        say_result(x, co, x->base + frame.len);
    } else {
        char text[512];
        tg_vm_explain(vm, co, rc == LUA_YIELD ? TG_E_SCRIPT : rc, "decode",
                      TG_BUDGET_DECODE_US, false, text, sizeof(text));
        say(x, "error", x->base + frame.len, (tg_slice){0}, tg_str(text));
    }
    luaL_unref(vm->L, LUA_REGISTRYINDEX, anchor);
    lua_pop(vm->L, 1);
}

static void say_rejected(explainer *x, tg_step step, size_t at, tg_slice bytes,
                         const tg_framed *f)
{
    static const char *const why[] = {"the rest of a frame is missing",
                                      "",
                                      "belongs to no frame",
                                      "checksum",
                                      "size beyond the limit",
                                      "trailer is not where the size says",
                                      "wrong escape sequence"};
    char text[128];
    if (step == TG_STEP_CHECKSUM)
        snprintf(text, sizeof(text), "wrong checksum: found %x, computed %x", f->found,
                 f->computed);
    else
        snprintf(text, sizeof(text), "%s", why[step]);
    say(x, step == TG_STEP_MORE ? "incomplete" : "junk", at, bytes, tg_str(text));
}

static int explain_stream(explainer *x, tg_slice bytes)
{
    const tg_framer *framer = x->app->decl->framer;
    char *scratch = malloc(tg_framer_max(framer));
    size_t at = 0, from = 0;
    if (scratch == NULL)
        return TG_E_NOMEM;
    while (at < bytes.len) {
        tg_framed f = {0};
        tg_slice rest = {bytes.at + at, bytes.len - at};
        tg_step step = tg_framer_step(framer, rest, scratch, &from, &f);
        if (step == TG_STEP_FRAME) {
            bool inside = f.frame.at >= rest.at && f.frame.at < rest.at + rest.len;
            x->base = inside ? (size_t)(f.frame.at - bytes.at) : at;
            explain_frame(x, f.frame);
        } else {
            say_rejected(x, step, at, (tg_slice){rest.at, f.used > 0 ? f.used : rest.len},
                         &f);
        }
        if (f.used == 0)
            break;
        at += f.used;
    }
    free(scratch);
    return 0;
}

int tg_adapter_annotate(const tg_adapter *self, tg_slice bytes,
                        void (*emit)(void *ctx, const tg_field_note *note), void *ctx)
{
    const tg_offer *offer = TG_OWNER(self, tg_offer, adapter);
    tg_unit_lua *u = offer->unit;
    tg_scratch x;
    tg_script *s;
    tg_error e = {0};
    int rc = tg_scratch_begin(&x, u->engine);
    if (rc != 0)
        return rc;
    rc = tg_script_open(u, 0, &x.bench, true, &s, &e);
    if (rc == 0) {
        explainer ex = {
            .script = s, .app = &s->apps[offer->index], .emit = emit, .ctx = ctx};
        if (ex.app->decl->framer != NULL)
            rc = explain_stream(&ex, bytes);
        else
            rc = TG_E_UNSUPPORTED;
        tg_script_end(s);
        tg_script_free(s);
    }
    tg_scratch_end(&x);
    return rc;
}
