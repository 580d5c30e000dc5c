-- SPDX-License-Identifier: Apache-2.0
-- Writes the field references in docs/protocols/ out of the layouts themselves: a protocol's
-- reference.lua lists them, the offline runner compiles them, their rows become tables. So the
-- pages cannot say something else than the code does.
-- Usage: fields.lua BUILD [--check] NAME…
package.path = "./spec/?.lua;" .. package.path
local cjson = require "cjson"

-- One line of input asks for one section; line 0 for what there is.
local PLUGIN = [[
local tg = require "tidegate"
local reference = require "reference"
local M = tg.adapter { id = "reference", api = 1, frame = { kind = "line", max = 64 } }
function M.decode(frame) return { type = "ask", n = tonumber(frame) } end
function M.on_message(_, message)
  local s, out = reference.sections[message.n], nil
  if s then
    out = { id = s.id, name = s.name, en = s.en, zh = s.zh, direction = s.direction,
      fold = s.fold, same = s.same, layouts = {} }
    for i, l in ipairs(s.layouts) do
      out.layouts[i] = { label = l.label, rows = l.layout:fields() }
    end
  else
    out = { title = reference.title, count = #reference.sections, names = reference.names }
  end
  tg.publish { topic = "reference", payload = tg.json.encode(out) }
end
return M
]]

local function read(path)
  local file = io.open(path)
  local text = file and file:read "a"
  if file then file:close() end
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function ask(build, folder, numbers)
  local input = os.tmpname()
  local lines = { "open {}", "connect 192.0.2.1:1" }
  for _, n in ipairs(numbers) do
    lines[#lines + 1] = "feed 1 " .. (n .. "\n"):gsub(".", function(c)
      return ("%02x"):format(c:byte())
    end)
  end
  write(input, table.concat(lines, "\n") .. "\n")
  local pipe = assert(io.popen(("%s/spec/core/lua/door_test %s < %s"):format(build, folder, input)))
  local out = {}
  for line in pipe:lines() do
    local event = line:sub(1, 1) == "{" and cjson.decode(line) or {}
    if event.event == "publish" then out[#out + 1] = cjson.decode(event.payload) end
    if event.event == "log" then error(event.text) end
  end
  pipe:close()
  os.remove(input)
  assert(#out == #numbers, "a section was not told")
  return out
end

local function load_sections(build, name)
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute(("mkdir -p %s/reference && cp protocols/%s/*.lua %s/reference/"):format(folder,
    name, folder)))
  write(folder .. "/reference/init.lua", PLUGIN)
  local head = ask(build, folder .. "/reference", { 0 })[1]
  local numbers = {}
  for n = 1, head.count do numbers[n] = n end
  local sections = ask(build, folder .. "/reference", numbers)
  os.execute("rm -rf " .. folder)
  return head, sections
end

-- ---- Markdown ----------------------------------------------------------------------------------

local function cell(text)
  return (tostring(text or ""):gsub("|", "\\|"):gsub("\n%s*", " "))
end

local function english(name) return (name:gsub("_", " ")) end

local function place(row)
  if row.tag then return ("`0x%02X`"):format(row.tag) end
  return row.offset and ("%d"):format(row.offset) or ""
end

local function line(row, names, missing)
  local name = row.name
  if name == "" then name = "(element)" end
  local plain = name:gsub("^_([%w_])", "%1")
  local zh = names[plain]
  if not zh and name ~= "(element)" then missing[plain] = true end
  local type = row.type .. (row.optional and "?" or "")
  return ("| %s | %s`%s` %s | %s | %s | %s | %s | %s |"):format(place(row),
    ("&nbsp;&nbsp;"):rep(math.tointeger(row.depth)), cell(name), cell(row.note ~= "" and row.note or
    english(plain) ~= plain and english(plain) or ""), cell(zh), cell(type), cell(row.scale),
    cell(row.unit), cell(row.values))
end

local HEAD = "| at | name | 中文 | type | scale | unit | values |\n|---|---|---|---|---|---|---|"

--- `same`: items whose names have this pattern are alike, and the first stands for all.
local function layout_table(layout, section, names, missing)
  local out, skip, seen = { HEAD }, nil, false
  local fold, same = section.fold, section.same
  for _, row in ipairs(layout.rows) do
    if skip and row.depth <= skip then skip = nil end
    if not skip and same and row.name:find(same) then
      skip, seen = seen and row.depth or nil, true
    end
    if not skip and row.name ~= "tail" then
      out[#out + 1] = line(row, names, missing)
      local where = fold and fold[row.name]
      if where then
        skip = row.depth
        out[#out] = out[#out]:gsub("|  |$", "| see " .. where .. " |")
      end
    end
  end
  if #out == 1 then return "No fields." end
  return table.concat(out, "\n")
end

local function page(name, head, sections)
  local out = { "# " .. head.title .. ": fields", "",
    "Generated from the layouts of `protocols/" .. name .. "` by `.ci/fields.lua`; `make docs` "
    .. "checks that it is up to date. `at` is the offset in bytes where it is always the same, or "
    .. "the tag of an item; a type with `?` may be missing or has a condition. Types are those of "
    .. "[layouts](../layouts.md).", "" }
  local missing = {}
  for _, s in ipairs(sections) do
    out[#out + 1] = ("## %s %s %s"):format(s.id, s.direction or "", s.zh or ""):gsub("%s+", " ")
    out[#out + 1] = ""
    out[#out + 1] = ("`%s`%s"):format(s.name, s.en and ": " .. s.en or "")
    out[#out + 1] = ""
    for _, layout in ipairs(s.layouts) do
      if layout.label ~= "2011, 2013, 2019" and layout.label ~= "all" then
        out[#out + 1] = "Edition " .. layout.label .. ":\n"
      end
      out[#out + 1] = layout_table(layout, s, head.names, missing)
      out[#out + 1] = ""
    end
  end
  return table.concat(out, "\n"), missing
end

local build, check = arg[1], arg[2] == "--check"
local fine = true
for i = check and 3 or 2, #arg do
  local name = arg[i]
  local text, missing = page(name, load_sections(build, name))
  local path = "docs/protocols/" .. name .. "-fields.md"
  local without = {}
  for field in pairs(missing) do without[#without + 1] = field end
  table.sort(without)
  if #without > 0 then
    print(("%s: no Chinese name for: %s"):format(name, table.concat(without, " ")))
    fine = false
  end
  if not check then
    write(path, text)
  elseif read(path) ~= text then
    print(path .. " is not what the layouts say: run `make fields`")
    fine = false
  end
end
os.exit(fine)
