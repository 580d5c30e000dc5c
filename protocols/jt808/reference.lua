-- SPDX-License-Identifier: Apache-2.0
-- What the field reference (docs/protocols/jt808-fields.md) is made of: every layout of the
-- adapter under its number, its direction and its editions. Names in English are those of the
-- records; names.lua has the Chinese ones.
local extras = require "extras"
local dialects = require "dialects"
local gbt19056 = require "gbt19056"
local names = require "names"
local registry = require "registry"
local subiao = require "subiao"
local subiao_items = require "subiao_items"
local tg = require "tidegate"
local wire = require "wire"

local M = { title = "JT/T 808", names = names.fields, sections = {} }

local function add(section) M.sections[#M.sections + 1] = section end

--- Layouts of a table by edition, each once, with all editions that have it.
local function by_edition(layouts)
  local order, labels, out = {}, {}, {}
  for label in pairs(layouts) do order[#order + 1] = label end
  table.sort(order)
  for _, label in ipairs(order) do
    local layout = layouts[label]
    if not labels[layout] then
      labels[layout] = {}
      out[#out + 1] = { layout = layout, labels = labels[layout] }
    end
    table.insert(labels[layout], label)
  end
  for _, one in ipairs(out) do one.label = table.concat(one.labels, ", ") end
  return out
end

local function messages()
  local ids = {}
  for id in pairs(registry) do
    if type(id) == "number" then ids[#ids + 1] = id end
  end
  table.sort(ids)
  for _, id in ipairs(ids) do
    local entry, name = registry[id], names.messages[id] or {}
    add {
      id = ("0x%04X"):format(id), name = entry.name, en = name[1], zh = name[2],
      direction = entry.dir == "up" and "↑" or "↓", layouts = by_edition(entry.layout),
      fold = { extras = "extra items", parameters = id ~= 0x8103 and "0x8103" or nil },
      same = "^can_id_%x%x%x%x$",
    }
  end
end

--- A list of tags as a layout of its own.
local function items(text) return tg.tlv { tag = "u8", length = "u8", items = text } end

add { id = "header", en = "message header", zh = "消息头", name = "header",
  layouts = by_edition { ["2011, 2013"] = wire.head["2013"], ["2019"] = wire.head["2019"] } }
messages()
add { id = "extra items", en = "extra items of a position", zh = "位置附加信息", name = "extras",
  layouts = by_edition { ["all editions"] = items(extras.standard) } }
for _, d in ipairs(subiao_items.dialects) do
  if d.name ~= "jiangsu" then
    add { id = "alarms, " .. d.name, en = "active safety alarms of " .. d.name, name = "extras",
      zh = "主动安全报警", layouts = by_edition(subiao_items.layouts[d.name]) }
  end
end
local vendors = {}
for vendor in pairs(dialects) do vendors[#vendors + 1] = vendor end
table.sort(vendors)
for _, vendor in ipairs(vendors) do
  add { id = "vendor " .. vendor, en = "extra items of " .. vendor, zh = "厂商附加信息",
    name = "extras", layouts = by_edition { [vendor] = items(dialects[vendor]) } }
end
for command = 0, 255 do
  local layout = gbt19056.content[command]
  if layout then
    add { id = ("recorder 0x%02X"):format(command), name = gbt19056.names[command],
      en = "driving record", zh = "行驶记录数据", layouts = by_edition { ["2012"] = layout } }
  end
end
add { id = "0x0900 type 0xF7", name = "peripherals", en = "state of peripherals", zh = "外设状态",
  layouts = by_edition { ["all editions"] = subiao.peripherals } }
add { id = "0x0900 type 0xF8", name = "peripherals", en = "peripherals' systems",
  zh = "外设系统信息", layouts = by_edition { ["all editions"] = subiao.systems } }

return M
