-- SPDX-License-Identifier: Apache-2.0
-- Figures as SVG: lines over a logarithmic axis of how many, each panel with its own unit. Plain
-- shapes and text, so that they show wherever Markdown does, on light and on dark ground.
local M = {}

local WIDTH, HEIGHT = 420, 300 -- of a panel
local LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 48
local COLOURS = { "#2463a8", "#c2571a", "#2f8f4e", "#8a4fa3" }

local function text(x, y, s, extra)
  s = s:gsub("&", "&amp;"):gsub("<", "&lt;")
  return ('<text x="%.0f" y="%.0f" %s>%s</text>'):format(x, y, extra or "", s)
end

local function line(x1, y1, x2, y2, class)
  local at = 'x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"'
  return ("<line " .. at .. ' class="%s"/>'):format(x1, y1, x2, y2, class)
end

local function grouped(n)
  local s = ("%.0f"):format(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (s:gsub("^,", ""))
end

-- The first of 1, 2, 5, 10, 20, … that parts 0 to `top` into at most five.
local function step_of(top)
  local step = 10 ^ math.floor(math.log(top / 5, 10))
  for _, times in ipairs { 1, 2, 5, 10 } do
    if top / (step * times) <= 5 then return step * times end
  end
end

-- The legend stands above the lines, or below them where they fall.
local function bounds(panel)
  local first, last, top = math.huge, 0, 0
  for _, series in ipairs(panel.series) do
    for _, point in ipairs(series.points) do
      first, last = math.min(first, point[1]), math.max(last, point[1])
      top = math.max(top, point[2])
    end
  end
  local room = panel.legend == "low" and 0 or 0.08 * #panel.series
  local step = step_of(top)
  return math.log(first, 10), math.log(last, 10), math.ceil(top * (1 + room) / step) * step, step
end

local function axes(out, panel, x_of, y_of, top, step)
  for v = 0, top + step / 2, step do
    out[#out + 1] = line(LEFT, y_of(v), WIDTH - RIGHT, y_of(v), "grid")
    out[#out + 1] = text(LEFT - 6, y_of(v) + 4, step < 1 and ("%.1f"):format(v) or grouped(v),
      'text-anchor="end"')
  end
  for _, point in ipairs(panel.series[1].points) do
    out[#out + 1] = line(x_of(point[1]), y_of(0), x_of(point[1]), y_of(0) + 4, "axis")
    out[#out + 1] = text(x_of(point[1]), y_of(0) + 18, grouped(point[1]), 'text-anchor="middle"')
  end
  out[#out + 1] = line(LEFT, y_of(0), WIDTH - RIGHT, y_of(0), "axis")
  out[#out + 1] = line(LEFT, TOP, LEFT, y_of(0), "axis")
  out[#out + 1] = text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, panel.x, 'text-anchor="middle"')
  out[#out + 1] = text(LEFT - 54, TOP - 14, panel.y, 'class="title"')
end

local function curve(out, series, colour, x_of, y_of)
  local points = {}
  for i, p in ipairs(series.points) do
    points[i] = ("%.1f,%.1f"):format(x_of(p[1]), y_of(p[2]))
    out[#out + 1] = ('<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>'):format(x_of(p[1]), y_of(p[2]),
      colour)
  end
  out[#out + 1] = ('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>'):format(
    table.concat(points, " "), colour)
end

local function legend(out, panel, y)
  for i, series in ipairs(panel.series) do
    if series.name then
      local at = y + (i - 1) * 16
      out[#out + 1] = ('<rect x="%d" y="%.0f" width="12" height="3" fill="%s"/>'):format(LEFT + 10,
        at - 5, COLOURS[i])
      out[#out + 1] = text(LEFT + 28, at, series.name)
    end
  end
end

local function draw(out, panel)
  local first, last, top, step = bounds(panel)
  local function x_of(v)
    return LEFT + 24 + (math.log(v, 10) - first) / (last - first) * (WIDTH - RIGHT - LEFT - 64)
  end
  local function y_of(v) return HEIGHT - BOTTOM - v / top * (HEIGHT - BOTTOM - TOP) end
  axes(out, panel, x_of, y_of, top, step)
  for i, series in ipairs(panel.series) do curve(out, series, COLOURS[i], x_of, y_of) end
  legend(out, panel, panel.legend == "low" and HEIGHT - BOTTOM - 16 * #panel.series or TOP + 12)
end

local STYLE = [[
<style>
  text { font: 12px sans-serif; fill: #222 }
  .title { font-weight: bold }
  .grid { stroke: #ddd }
  .axis { stroke: #555 }
</style>]]

--- Panels side by side.
---@param panels table[] each { x = label, y = label with unit, legend = "low"?, series = list }
--- of { name = string?, points = { { x, y }, … } }
---@return string svg
function M.svg(panels)
  local width = WIDTH * #panels
  local head = '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">'
  local out = { head:format(width, HEIGHT, width, HEIGHT), STYLE,
    ('<rect width="%d" height="%d" fill="#fff"/>'):format(width, HEIGHT) }
  for i, panel in ipairs(panels) do
    out[#out + 1] = ('<g transform="translate(%d 0)">'):format((i - 1) * WIDTH)
    draw(out, panel)
    out[#out + 1] = "</g>"
  end
  out[#out + 1] = "</svg>\n"
  return table.concat(out, "\n")
end

return M
