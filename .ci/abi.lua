-- SPDX-License-Identifier: Apache-2.0
-- Holds the C ABI against the reviewed list core/include/abi.list. The headers give the names
-- and the types, the compiler gives sizes, offsets and values. A table or a struct may grow at
-- its end, an enum may get new names; everything else would break plugins that are out there.
-- What grows raises TG_ABI_MINOR, by which a plugin asks for it, and lies behind the old form's
-- last byte: its padding holds whatever a plugin's stack held.
--   lua5.4 .ci/abi.lua            compares; growth that is not in the list yet fails as well
--   lua5.4 .ci/abi.lua --accept   writes growth, and nothing but growth, to the list
local ROOT = os.getenv "TG_ABI_ROOT" or "core/include"
local LIST = ROOT .. "/abi.list"
local HEADERS = {
  "types", "message", "adapter", "session", "auth", "runtime", "store", "spool", "files",
  "host", "engine",
}
local CC = os.getenv "CC" or "gcc"

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

local function squeeze(text)
  return (text:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", ""))
end

--- Without comments and without the bodies of inline functions.
local function strip(text)
  text = text:gsub("/%*.-%*/", " "):gsub("//[^\n]*", "")
  return (text:gsub("(static inline[^{;]*)%b{}", ""))
end

--- Splits at `sep` where no bracket is open.
local function split(text, sep)
  local out, depth, from = {}, 0, 1
  for at, char in text:gmatch "()(.)" do
    if char:find "[({]" then depth = depth + 1 end
    if char:find "[)}]" then depth = depth - 1 end
    if char == sep and depth == 0 then
      out[#out + 1] = squeeze(text:sub(from, at - 1))
      from = at + 1
    end
  end
  out[#out + 1] = squeeze(text:sub(from))
  return out
end

local members -- of a struct's body, nested ones with a dot

local function declarators(decl, add)
  local name = decl:match "%(%*([%w_]+)%)"
  if name then return add(name, squeeze((decl:gsub("%(%*" .. name .. "%)", "(*)", 1)))) end
  local list = split(decl, ",")
  local kind = list[1]:match "^(.-)[%w_]+[%[%]%w_]*$"
  for i, item in ipairs(list) do
    local id, array = (i == 1 and list[1]:sub(#kind + 1) or item):match "^%**%s*([%w_]+)(.*)$"
    add(id, squeeze(kind .. (item:match "^%*" or "") .. array))
  end
end

function members(body, prefix, out)
  for _, decl in ipairs(split(body, ";")) do
    decl = decl:gsub("__attribute__%b()%b()", "")
    local keyword, inner, name = decl:match "^(%a+) (%b{}) ?([%w_]*)$"
    if keyword == "struct" or keyword == "union" then
      members(inner:sub(2, -2), name ~= "" and prefix .. name .. "." or prefix, out)
    elseif decl ~= "" then
      declarators(decl, function(id, kind) out[#out + 1] = { name = prefix .. id, kind = kind } end)
    end
  end
  return out
end

--- What the headers declare: structs in order, names of enumerators and of numeric macros.
local function declared()
  local structs, names = {}, {}
  for _, header in ipairs(HEADERS) do
    local raw = assert(read(ROOT .. "/tidegate/" .. header .. ".h"))
    for id in raw:gmatch "X%(([A-Z]+), %-%d+, " do names[#names + 1] = "TG_E_" .. id end
    for line in raw:gmatch "[^\n]+" do
      names[#names + 1] = line:match "^#define (TG_[A-Z_]+) %d+$"
        or line:match "^#define (TG_[A-Z_]+) UINT%d+_MAX$"
    end
    local text = strip(raw):gsub("\n%s*#[^\n]*\\\n[^\n]*", "\n"):gsub("\n%s*#[^\n]*", "\n")
    for name, body in text:gmatch "struct ([%w_]+) (%b{})" do
      local list = members(body:sub(2, -2), "", {})
      structs[#structs + 1] = { name = name, members = list }
    end
    for body in text:gmatch "enum [%w_]*%s*(%b{})" do
      for id in body:gmatch "(TG_[A-Z0-9_]+)%s*[,=}]" do names[#names + 1] = id end
      for id in body:gmatch "(TG_[A-Z0-9_]+)%s*}" do names[#names + 1] = id end
    end
  end
  return structs, names
end

local function probe(structs, names)
  local out = { "#include <stdio.h>", '#include "tidegate.h"', '#include "tidegate/engine.h"' }
  out[#out + 1] = "int main(void){"
  local function add(...) out[#out + 1] = string.format(...) end
  for _, s in ipairs(structs) do
    add('printf("struct %s %%zu\\n", sizeof(struct %s));', s.name, s.name)
    for _, m in ipairs(s.members) do
      add('printf("  %%zu %%zu %s : %s\\n",', m.name, m.kind)
      add("offsetof(struct %s, %s), sizeof(((struct %s *)0)->%s));", s.name, m.name, s.name, m.name)
    end
  end
  local seen = {}
  for _, name in ipairs(names) do
    if not seen[name] then add('printf("value %s %%lld\\n", (long long)%s);', name, name) end
    seen[name] = true
  end
  out[#out + 1] = "return 0;}"
  return table.concat(out, "\n")
end

--- The ABI as it is, as text.
local function current()
  local base = os.tmpname()
  local source = assert(io.open(base .. ".c", "w"))
  source:write(probe(declared()))
  source:close()
  local ok = os.execute(("%s -std=c11 -Wno-unused -I%s -o %s %s.c"):format(CC, ROOT, base, base))
  local pipe = ok and io.popen(base)
  local text = pipe and pipe:read "a"
  if pipe then pipe:close() end
  os.remove(base)
  os.remove(base .. ".c")
  return text
end

local function parse(text)
  local abi = { structs = {}, values = {}, order = {} }
  local struct
  for line in text:gmatch "[^\n]+" do
    local name, number = line:match "^struct (%S+) (%d+)$"
    if name then
      struct = { size = tonumber(number), members = {} }
      abi.structs[name] = struct
      abi.order[#abi.order + 1] = name
    elseif line:find "^value" then
      name, number = line:match "^value (%S+) (%-?%d+)$"
      abi.values[name] = number
    else
      local at, size, rest = line:match "^  (%d+) (%d+) (.*)$"
      struct.members[#struct.members + 1] = { at = at, size = size, text = rest }
    end
  end
  return abi
end

local broken, grown = {}, {}
local function breaks(...) broken[#broken + 1] = string.format(...) end
local function grows(...) grown[#grown + 1] = string.format(...) end

--- A struct that says its size may get members at its end; the last one may itself have grown.
local function compare_struct(name, old, new)
  local sized = old.members[1] and old.members[1].text == "size : uint32_t"
    or name == "tg_lifecycle" or name == "tg_plugin"
  for i, was in ipairs(old.members) do
    local is = new.members[i]
    local where = ("struct %s, member %d (%s)"):format(name, i, was.text)
    if not is then
      breaks("%s: is gone", where)
    elseif is.text ~= was.text or is.at ~= was.at then
      breaks("%s: is now '%s' at %s, was at %s", where, is.text, is.at, was.at)
    elseif is.size ~= was.size and (i < #old.members or tonumber(is.size) < tonumber(was.size)) then
      breaks("%s: has %s bytes, had %s", where, is.size, was.size)
    end
  end
  for i = #old.members + 1, #new.members do
    local is = new.members[i]
    local behind = tonumber(is.at) >= old.size;
    (sized and behind and grows or breaks)("struct %s: new member '%s'%s", name, is.text,
      behind and "" or " in what was padding")
  end
  if new.size ~= old.size and #new.members == #old.members and not sized then
    breaks("struct %s: has %d bytes, had %d", name, new.size, old.size)
  end
end

local function compare(old, new)
  for _, name in ipairs(old.order) do
    if new.structs[name] then
      compare_struct(name, old.structs[name], new.structs[name])
    else
      breaks("struct %s: is gone", name)
    end
  end
  for _, name in ipairs(new.order) do
    if not old.structs[name] then grows("new struct %s", name) end
  end
  for name, value in pairs(old.values) do
    local is = new.values[name]
    local may_rise = name == "TG_ABI_MINOR" and is and tonumber(is) > tonumber(value)
    if may_rise then grows("%s is %s now", name, is)
    elseif is ~= value then breaks("%s is %s, was %s", name, is or "gone", value) end
  end
  for name in pairs(new.values) do
    if not old.values[name] then grows("new name %s", name) end
  end
end

local function minor_rises(old, new)
  local name = "TG_ABI_MINOR"
  return tonumber(new.values[name]) > tonumber(old.values[name])
end

local text = current()
if not text then os.exit(false) end
local reviewed = read(LIST)
if reviewed then
  local old, new = parse(reviewed), parse(text)
  compare(old, new)
  if #grown > 0 and not minor_rises(old, new) then
    breaks "it grows, and TG_ABI_MINOR does not: a plugin asks for what is new by that"
  end
else
  grows "there is no reviewed list"
end
table.sort(broken)
table.sort(grown)
for _, line in ipairs(broken) do io.stderr:write("abi: breaks plugins: ", line, "\n") end
for _, line in ipairs(grown) do io.stderr:write("abi: grows: ", line, "\n") end
if #broken > 0 then
  io.stderr:write "abi: members keep place and type; new ones go to the end of a sized struct\n"
  os.exit(false)
end
if #grown > 0 and arg[1] == "--accept" then
  local file = assert(io.open(LIST, "wb"))
  file:write(text)
  file:close()
elseif #grown > 0 then
  io.stderr:write "abi: review this, then write it down with: lua5.4 .ci/abi.lua --accept\n"
  os.exit(false)
end
