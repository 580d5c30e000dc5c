-- SPDX-License-Identifier: Apache-2.0
-- What the field reference (docs/protocols/gt06-fields.md) is made of: the layouts of frames, each
-- with the types and lengths that have it.
local layouts = require "layouts"
local names = require "names"
local types = require "types"

local M = { title = "GT06", names = names, sections = {} }

--- The types that use a layout: "0x12", "0x12 of length 0x21".
local function users_of(layout)
  local out = {}
  for form, list in pairs { short = types.short, long = types.long } do
    local mark = form == "long" and " (long)" or ""
    for code, t in pairs(list) do
      if t.layout == layout then out[#out + 1] = ("0x%02X%s"):format(code, mark) end
      for length, l in pairs(t.by or {}) do
        if l == layout then
          out[#out + 1] = ("0x%02X%s of length 0x%02X"):format(code, mark, length)
        end
      end
    end
  end
  table.sort(out)
  return table.concat(out, ", ")
end

local order = {}
for name in pairs(layouts) do order[#order + 1] = name end
table.sort(order)
for _, name in ipairs(order) do
  local users = type(layouts[name]) == "userdata" and users_of(layouts[name]) or ""
  if users ~= "" then
    M.sections[#M.sections + 1] = { id = name, name = name, en = users,
      layouts = { { label = "all", layout = layouts[name] } } }
  end
end

return M
