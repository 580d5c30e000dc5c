-- SPDX-License-Identifier: Apache-2.0
-- The vectors, how their names correspond to ours, and frames made for specs.
local cjson = require "cjson"
local offline = require "support.offline"

local M = { path = "protocols/gbt32960" }

function M.load()
  local all = {}
  for line in io.lines "spec/data/gbt32960.jsonl" do all[#all + 1] = cjson.decode(line) end
  return all
end

function M.unhex(hex)
  return (hex:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

function M.hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

--- A frame, from the fact sheet alone. @return hex
function M.frame(start, command, flag, id, unit, encryption)
  local summed = string.pack(">BBc17Bs2", command, flag, id, encryption or 1, unit)
  local bcc = 0
  for i = 1, #summed do bcc = bcc ~ summed:byte(i) end
  return M.hex(start .. summed .. string.char(bcc))
end

M.TIME = string.char(24, 3, 15, 8, 19, 59)

function M.login(start, vin, serial)
  local unit = M.TIME .. string.pack(">I2", serial or 1) .. "89860000000000009016"
  return M.frame(start, 0x01, 0xFE, vin, unit .. (start == "##" and "\0\0" or "\0"))
end

--- A plugin that is the adapter with the harness in front. @return its folder
function M.harness()
  local dir = os.tmpname()
  os.remove(dir)
  local copy = "mkdir %s && cp %s/*.lua %s && mv %s/init.lua %s/product.lua && "
    .. "cp spec/protocols/gbt32960/harness.lua %s/init.lua"
  assert(os.execute(copy:format(dir, M.path, dir, dir, dir, dir)))
  return dir
end

--- Decodes frames, each alone. @return the message events' messages by index
function M.decode(hexes)
  local dir, commands, where = M.harness(), {}, {}
  for i, hex in ipairs(hexes) do
    if i % 50 == 1 then commands[#commands + 1] = "open {}" end
    commands[#commands + 1] = "connect 192.0.2.1:5000"
    commands[#commands + 1] = ("feed %d %s"):format((i - 1) % 50 + 1, hex)
    where[i] = #commands
  end
  local blocks = offline.run(dir, commands)
  os.execute("rm -r " .. dir)
  local out = {}
  for i in ipairs(hexes) do out[i] = offline.of(blocks[where[i]], "message") end
  return out
end

-- ---- names ----------------------------------------------------------------------------------

local NAMES = {
  charge_state = "charging", driving_force = "drive_force", braking_force = "brake_force",
  motors = "items", subsystems = "items", packs = "items", stacks = "items",
  cells_in_frame = "cell_count", hydrogen_inlet_pressure = "hydrogen_inlet_kpa",
  air_inlet_pressure = "air_inlet_kpa", crankshaft_speed = "crankshaft_rpm",
  hydrogen_remaining = "hydrogen_remaining_pct", cell_voltages = "cell_voltages_v",
  unit_voltages = "unit_voltages_v",
}
local UNITS = {
  "", "_kmh", "_km", "_v", "_a", "_pct", "_kohm", "_c", "_rpm", "_nm", "_kg_100km", "_l_100km",
  "_mg_kg", "_mpa",
}
M.BLOCKS = { storage_voltage = "storage_voltages", storage_temperature = "storage_temperatures",
  pack_voltage = "pack_voltages", pack_temperature = "pack_temperatures" }

local function ours(name, record)
  if NAMES[name] then return NAMES[name] end
  for _, unit in ipairs(UNITS) do
    if record[name .. unit] ~= nil then return name .. unit end
  end
  return name
end

local function near(a, b)
  return a == b or type(a) == "number" and type(b) == "number" and math.abs(a - b) < 1e-6
end

local compare

local function note(wrong, at, got, want)
  wrong[#wrong + 1] = ("%s: %s, expected %s"):format(at, tostring(got), tostring(want))
end

local function check_list(want, raw, scaled, at, wrong)
  for i, value in ipairs(want.value) do
    if not near(scaled[i], value) then note(wrong, ("%s[%d]"):format(at, i), scaled[i], value) end
    if raw[i] ~= want.raw[i] then note(wrong, ("%s[%d] raw"):format(at, i), raw[i], want.raw[i]) end
  end
  if #raw ~= #want.raw then note(wrong, at, #raw, #want.raw) end
end

--- A value with its raw form. One outside its range has no value with us, and says so.
local function check_value(want, key, raw, scaled, at, wrong)
  if type(want.raw) == "table" then
    return check_list(want, raw[key] or {}, scaled[key] or {}, at, wrong)
  end
  if raw[key] ~= want.raw then note(wrong, at .. " raw", raw[key], want.raw) end
  local got, expected = scaled[key], want.value
  if got == nil and scaled[key .. "_raw"] == want.raw then return end
  if expected == cjson.null then expected = nil end
  if not near(got, expected) then note(wrong, at, got, expected) end
end

local special = {}

function special.gear(want, raw, scaled, at, wrong)
  if raw.gear ~= want.raw then note(wrong, at .. " raw", raw.gear, want.raw) end
  if scaled.gear ~= tostring(want.value) then note(wrong, at, scaled.gear, want.value) end
  for key, name in pairs { driving_force = "drive_force", braking_force = "brake_force" } do
    if scaled[name] ~= want[key] then note(wrong, name, scaled[name], want[key]) end
  end
end

function special.valid(want, _, scaled, at, wrong)
  if (scaled.fix == "valid") ~= want then note(wrong, at, scaled.fix, want) end
end

function special.bits(want, _, scaled, at, wrong)
  if #want ~= #scaled.flags then note(wrong, at, #scaled.flags, #want) end
end

function special.algorithm(want, _, scaled, at, wrong)
  if scaled.algorithm ~= want.value then note(wrong, at, scaled.algorithm, want.value) end
end

function special.r_length(want, raw, _, at, wrong)
  if #raw.r // 2 ~= want then note(wrong, at, #raw.r, want) end
end

function special.s_length(want, raw, _, at, wrong)
  if #raw.s // 2 ~= want then note(wrong, at, #raw.s, want) end
end

local function check_hex(want, got, at, wrong)
  if want.hex then return near(want.hex, got) or note(wrong, at, got, want.hex) end
  if want.length and #got // 2 ~= want.length then note(wrong, at, #got // 2, want.length) end
  if want.head and got:sub(1, 32) ~= want.head:lower() then note(wrong, at, got, want.head) end
end

local function told() end -- by the block
special.type, special.name = told, told

function compare(want, raw, scaled, at, wrong)
  for name, value in pairs(want) do
    local key, here = ours(name, raw), at .. "." .. name
    if special[name] then
      special[name](value, raw, scaled, here, wrong)
    elseif type(value) ~= "table" then
      if raw[key] ~= value then note(wrong, here, raw[key], value) end
    elseif value.raw ~= nil then
      check_value(value, key, raw, scaled, here, wrong)
    elseif value.hex or value.sha1 then
      check_hex(value, raw[key], here, wrong)
    else
      for i, item in ipairs(value) do
        local r, s = (raw[key] or {})[i], (scaled[key] or {})[i]
        if type(item) == "table" then compare(item, r or {}, s or {}, here .. i, wrong)
        elseif r ~= item and tostring(r):upper() ~= item then note(wrong, here .. i, r, item) end
      end
      if #value ~= #(raw[key] or {}) then note(wrong, here, #(raw[key] or {}), #value) end
    end
  end
end

local function check_block(want, raw, scaled, left, at, wrong)
  if want.name == "unknown" or want.name == "undecodable" then
    if not left then return note(wrong, at, "nothing", "a rest") end
    local rest = type(want.rest) == "table" and want.rest or { hex = want.rest }
    return check_hex(rest, left.hex, at, wrong)
  end
  if not raw then return note(wrong, at, "missing", want.name) end
  if want.name == "custom" then
    return check_hex(type(want.hex) == "table" and want.hex or want, raw.hex, at, wrong)
  end
  local name = M.BLOCKS[want.name] or want.name
  if raw.name ~= name then return note(wrong, at, raw.name, name) end
  compare(want, raw.record, scaled.record, at, wrong)
end

--- What the message of a report has otherwise than the vector's blocks say.
function M.blocks_wrong(want, message)
  local wrong = {}
  for i, block in ipairs(want) do
    check_block(block, message.raw[i], message.scaled[i], message.left, i .. "." .. block.name,
      wrong)
  end
  return wrong
end

return M
