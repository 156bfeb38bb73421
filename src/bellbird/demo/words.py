"""The words that demonstration contacts are made of, where Faker's own are not from here."""

from typing import Final

TRADES: Final = (
    "Accounting", "Auto Electrics", "Bakery", "Building", "Cabinets", "Cleaning", "Coffee Roasters", "Dairy", "Dental",
    "Earthmoving", "Electrical", "Engineering", "Fencing", "Finance", "Fisheries", "Flooring", "Freight", "Glass",
    "Irrigation", "Landscapes", "Legal", "Logistics", "Marine", "Medical Centre", "Orchards", "Painting", "Physio",
    "Plumbing", "Property", "Real Estate", "Refrigeration", "Roofing", "Scaffolding", "Security", "Software", "Solar",
    "Surveying", "Timber", "Tyres", "Veterinary Clinic", "Vineyards", "Wool",
)  # fmt: skip

JOBS: Final = (
    "Accounts Payable Officer", "Apprentice", "Area Manager", "Bookkeeper", "Branch Manager", "Business Analyst",
    "Chief Executive", "Customer Service Lead", "Director", "Electrician", "Estimator", "Farm Manager",
    "Finance Manager", "Fleet Coordinator", "Foreman", "General Manager", "HR Adviser", "IT Manager", "Lawyer",
    "Marketing Manager", "Nurse", "Office Manager", "Operations Manager", "Owner", "Partner", "Payroll Officer",
    "Practice Manager", "Principal", "Procurement Lead", "Project Manager", "Quantity Surveyor", "Receptionist",
    "Sales Executive", "Sales Manager", "Site Supervisor", "Software Engineer", "Storeperson", "Teacher", "Vet",
    "Warehouse Manager",
)  # fmt: skip

# Faker's names for the two countries are nearly all British ones.
LAST_NAMES: Final = (
    "Nguyen", "Singh", "Chen", "Patel", "Tran", "Kaur", "Li", "Kim", "Wang", "Zhang", "Pham", "Sharma", "Rossi",
    "Russo", "Papadopoulos", "Haddad", "Ahmed", "Kowalski", "O'Brien", "O'Connor", "de Silva", "van der Berg", "Ngata",
    "Parata", "Te Rangi", "Tūhoe", "Wīremu", "Henare", "Tamihana", "Taufa", "Fonoti", "Leota", "Vaipulu", "Tawhiri",
)  # fmt: skip
FIRST_NAMES: Final = (
    "Aroha", "Anahera", "Manaia", "Māia", "Hēmi", "Nikau", "Wiremu", "Rāwiri", "Sione", "Mele", "Priya", "Arjun",
    "Harpreet", "Mei", "Wei", "Jun", "Linh", "Minh", "Renée", "Zoë", "Siobhán", "Chloé", "José", "Giulia", "Yusuf",
    "Layla", "Kirra", "Jarrah", "Minjarra", "Bindi",
)  # fmt: skip

MAILBOXES: Final = {
    "AU": ("gmail.com", "gmail.com", "outlook.com", "bigpond.com", "optusnet.com.au", "icloud.com", "iinet.net.au"),
    "NZ": ("gmail.com", "gmail.com", "outlook.com", "xtra.co.nz", "icloud.com", "slingshot.co.nz"),
}
TAGS: Final = (
    "customer", "customer", "customer", "lead", "lead", "newsletter", "supplier", "vip", "wholesale", "tradie",
    "trial", "renewal due", "event 2026",
)  # fmt: skip
SOURCES: Final = ("web form", "referral", "trade show", "phone enquiry", "import", "partner", "cold call")
PLANS: Final = ("starter", "starter", "team", "team", "business", "enterprise")

# What an agent writes about a call, by its outcome.
NOTES: Final = {
    "interested": (
        "Wants the brochure by e-mail.", "Asked for a quote for two sites.", "Happy to see a demo next month.",
        "Compares us with their present supplier.", "Send prices for the team plan.", "Needs it before the new year.",
        "Partner decides; sounded keen.",
    ),
    "not_interested": (
        "Just renewed elsewhere.", "No budget this year.", "Business is being sold.", "Happy with what they have.",
        "Too small for it, they say.", "Retired.",
    ),
    "call_back": (
        "On a site visit, call back.", "Driving.", "In a meeting.", "Wants to ask their accountant first.",
        "Back from leave then.", "Asked for Noah, if he is in.",
    ),
    "left_message": ("Left a message with our number.", "Mailbox; left a short message.", "Left a message again."),
    "wrong_number": ("The number belongs to somebody else now.", "Fax machine at first, then a stranger."),
    "do_not_call": ("Does not want to be called again.", "Asked to be taken off the list."),
}  # fmt: skip
