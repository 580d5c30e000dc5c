-- SPDX-License-Identifier: Apache-2.0
-- What the field reference (docs/protocols/gbt32960-fields.md) is made of: units by command and
-- blocks of reports by type, with their editions. Layouts have no Chinese names; names.lua does.
local names = require "names"
local report = require "report"
local units = require "units"

local M = { title = "GB/T 32960.3", names = names.fields, sections = {} }

local function add(section) M.sections[#M.sections + 1] = section end

add { id = "header", name = "header", en = "frame header and time of the unit", zh = "数据包头",
  layouts = { { label = "all", layout = report.head } } }
for _, unit in ipairs(units.layouts) do
  local name = names.units[unit.command] or {}
  add { id = ("command 0x%02X"):format(unit.command), name = unit.name, en = name[1], zh = name[2],
    direction = "↑", layouts = { { label = unit.edition, layout = unit.layout } } }
end
for _, edition in ipairs { 2016, 2025 } do
  for code = 0, 255 do
    local block = report.blocks[edition][code]
    if block then
      local name = names.blocks[block.name] or {}
      add { id = ("block 0x%02X of %d"):format(code, edition), name = block.name, en = name[1],
        zh = name[2], direction = "↑",
        layouts = { { label = tostring(edition), layout = block.layout } } }
    end
  end
end

return M
