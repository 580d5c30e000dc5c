-- SPDX-License-Identifier: Apache-2.0
-- Chinese names of fields for the field reference; layouts carry the English ones.
local M = {}

local FIELDS = [[
_ 保留
acc ACC状态|acc_known ACC有效|acc_on_seconds ACC开启时长|alarm_code 报警码|altitude_m 海拔|armed 设防
battery_v 电池电压|boot_reason 开机原因|cell 基站|cell_id 小区ID|cell_lte LTE小区|cells 基站|charging 充电
code 代码|content 内容|content_hex 内容|course_deg 航向|crc 错误校验|data_hex 数据|encoding 编码|event 事件
external_voltage_v 外电电压|fence_no 围栏编号|fuel_cut 断油电|gps_differential 差分定位|gps_fixed GPS已定位
gps_tracking GPS跟踪|gsm_level GSM信号强度|hdop 水平精度因子|iccid ICCID|imei IMEI|imsi IMSI|index 序号
info_type 信息类型|inputs 输入|lac 位置区码|language 语言|latitude 纬度|lbs_len LBS长度|len 长度|length 包长度
lock_status 锁状态|longitude 经度|mac MAC地址|mcc 移动国家码|mileage_hex 里程|mileage_m 里程|mnc 移动网络码
model_code 机型码|module_type 模块类型|modules 模块|more_cells 基站列表|north 北纬|phone 电话号码|port 端口
position 位置|radio 无线|reserve 预留|reupload 补传|rssi 信号强度|satellites 卫星数|satellites_visible 可见卫星数
serial 信息序列号|server_flag 服务器标志位|speed_kmh 速度|start 起始位|stop 停止位|tac 跟踪区码|tail_hex 剩余
terminal_alarm 终端报警|terminal_id 终端ID|text 文本|time 日期时间|timing_advance 时间提前量|transfer 传输
type 协议号|upload_mode 上传模式|voltage_level 电压等级|voltage_v 电压|west 西经|wide 长网络码|wifi Wi-Fi
wifi_count Wi-Fi数量|zone_word 时区语言
]]

for item in FIELDS:gmatch "[^|\n]+" do
  local name, zh = item:match "^([%w_]+) (.+)$"
  M[name] = zh
end

return M
